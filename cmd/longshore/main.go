// Command longshore is a container registry whose only state is an object store.
//
//	longshore serve               images in ./longshore-data, on port 5000
//	longshore serve config.yml    everything else; see docs/configuration.md
package main

import (
	"fmt"
	"io"
	"os"
	"runtime/debug"
)

func main() {
	p := program{stdout: os.Stdout, stderr: os.Stderr, env: os.Environ(), uid: os.Geteuid()}
	os.Exit(p.run(os.Args[1:]))
}

// program is what the commands need of the process that they run in.
type program struct {
	stdout io.Writer
	stderr io.Writer
	env    []string // in the form of os.Environ
	uid    int      // of the user
}

// run executes a command line and returns the exit code: 0 for success, 1 if the work failed, 2
// if the command line is wrong.
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
