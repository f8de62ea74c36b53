package config

import "strings"

// plain is a key without what people vary: accessKey, access-key and ACCESS_KEY are access_key.
func plain(key string) string {
	return strings.ToLower(strings.NewReplacer("_", "", "-", "").Replace(key))
}

// nearest is the name among known that got was most likely meant to be, or "" if none is near.
func nearest(got string, known []string) string {
	best, bestDistance := "", 0
	for _, k := range known {
		d := 0
		if plain(k) != plain(got) {
			d = distance(strings.ToLower(got), strings.ToLower(k))
		}
		if d <= allowed(got, k) && (best == "" || d < bestDistance) {
			best, bestDistance = k, d
		}
	}
	return best
}

// allowed is how many slips still count as the same word: one in a short one, at most a third.
func allowed(a, b string) int {
	return max(1, min(len(a), len(b))/3)
}

// distance counts the letters to insert, delete, replace or swap with their neighbour.
func distance(a, b string) int {
	// Nobody's typo is that long, and the work grows with the square.
	if len(a) > 100 || len(b) > 100 {
		return len(a) + len(b)
	}
	before, last, row := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range last {
		last[j] = j
	}
	for i := 1; i <= len(a); i++ {
		row[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			row[j] = min(last[j]+1, row[j-1]+1, last[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
		before, last, row = last, row, before
	}
	return last[len(b)]
}
