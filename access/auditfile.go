package access

import (
	"os"
	"sync"
)

// AuditFile is a file that lines are appended to. When another program has moved it away, as logrotate does, the next line
// begins a new one: nobody has to tell. It is safe for concurrent use, and for several processes on one machine.
type AuditFile struct {
	path string
	mu   sync.Mutex
	file *os.File
}

// OpenAuditFile opens a file, or makes it, for its owner alone: it tells who works when.
func OpenAuditFile(path string) (*AuditFile, error) {
	f := &AuditFile{path: path}
	return f, f.open()
}

func (f *AuditFile) open() error {
	file, err := os.OpenFile(f.path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	f.file = file
	return nil
}

// Write appends a line.
func (f *AuditFile) Write(line []byte) (int, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.moved() {
		before := f.file
		if err := f.open(); err != nil {
			return 0, err
		}
		_ = before.Close() // what it holds is written
	}
	return f.file.Write(line)
}

// moved reports whether the path is not that of the open file any more.
func (f *AuditFile) moved() bool {
	there, err := os.Stat(f.path)
	if err != nil {
		return true
	}
	open, err := f.file.Stat()
	return err != nil || !os.SameFile(there, open)
}

// Close closes the file.
func (f *AuditFile) Close() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.file.Close()
}
