package minio

// pattern is n bytes that differ from place to place and by seed.
func pattern(seed byte, n int) []byte {
	b := make([]byte, n)
	x := uint64(seed) + 1
	for i := range b {
		x = x*6364136223846793005 + 1442695040888963407
		b[i] = byte(x >> 56)
	}
	return b
}
