// Package cli is the command line of longshore, for programs that add storage drivers of their own:
//
//	func main() { os.Exit(cli.Main(cli.NewDriver("mystore", "…", mystore.Defaults(), mystore.Open, mystore.Config.Place))) }
//
// docs/plugins.md has a whole one.
package cli

import (
	"fmt"
	"io"
	"os"
	"runtime/debug"
)

// Main runs the program with the arguments of the process, and returns the exit code: 0 for success, 1
// if the work failed, 2 if the command line is wrong. The drivers that are given can be chosen below
// storage, by their names, beside those of longshore itself.
func Main(more ...Driver) int {
	p := program{stdin: os.Stdin, stdout: os.Stdout, stderr: os.Stderr, env: os.Environ(), uid: os.Geteuid(), more: more}
	return p.run(os.Args[1:])
}

// program is what the commands need of the process that they run in.
type program struct {
	stdin  io.Reader
	stdout io.Writer
	stderr io.Writer
	env    []string // in the form of os.Environ
	uid    int      // of the user
	more   []Driver // beside our own
}

// run executes a command line and returns the exit code; see Main.
func (p program) run(args []string) int {
	root := p.rootCommand()
	root.SetArgs(args)
	root.SetOut(p.stdout)
	root.SetErr(p.stderr)
	command := root
	err := guard(func() (err error) {
		command, err = root.ExecuteC()
		return err
	})
	return p.report(command, err)
}

// crash is a panic: a fault in the program.
type crash struct {
	cause any
	stack []byte
}

func (c crash) Error() string { return fmt.Sprintf("a fault in the program: %v", c.cause) }

// guard makes an error of a panic in f.
func guard(f func() error) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = crash{r, debug.Stack()}
		}
	}()
	return f()
}
