// Command peers measures Longshore beside other registries on this machine, as `make bench` does, and writes docs/performance.md with its
// chart. It is started in the repository's folder.
//
//	go run ./bench/peers                      all, in about a quarter of an hour; writes the page
//	go run ./bench/peers -only pull-folder    some rows, to stdout; commas separate several
//	go run ./bench/peers -list                their names
//
// It builds Longshore from the folder it is in, and needs in $LONGSHORE_TOOLS or PATH: registry (CNCF distribution), minio, nginx, and zot if that is to be
// measured too. All that it starts listens on 127.0.0.1, keeps its data in one temporary folder, and ends with it.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
)

func main() {
	ctx, cancel := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer cancel()
	if len(os.Args) == 4 && os.Args[1] == bareCommand {
		fmt.Fprintln(os.Stderr, "peers:", serveBare(os.Args[2], os.Args[3]))
		os.Exit(1)
	}
	if err := run(ctx, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "peers:", err)
		os.Exit(1)
	}
}

// settings are what the command line says.
type settings struct {
	only  []string
	quick bool
	whole bool
	dir   string
	docs  string
}

func run(ctx context.Context, args []string) (err error) {
	var s settings
	flags := flag.NewFlagSet("peers", flag.ContinueOnError)
	only := flags.String("only", "", "names of rows, separated by commas; the page is not written then")
	list := flags.Bool("list", false, "list the names of the rows")
	flags.BoolVar(&s.quick, "quick", false, "one short round and small stores, to see whether it works; the page is not written")
	flags.BoolVar(&s.whole, "whole", false, "let the 64 uploads of 1 GiB go on to their end, which takes 64 GiB of disk for each registry")
	flags.StringVar(&s.dir, "dir", os.TempDir(), "where data is kept meanwhile; up to 30 GB on a real disk")
	flags.StringVar(&s.docs, "docs", "docs", "folder of the page")
	if err := flags.Parse(args); errors.Is(err, flag.ErrHelp) {
		return nil
	} else if err != nil {
		return err
	}
	if *list {
		for _, r := range rows() {
			fmt.Printf("%-16s %s\n", r.name, r.about)
		}
		return nil
	}
	chosen := rows()
	if *only != "" {
		s.only = strings.Split(*only, ",")
		for _, name := range s.only {
			if !slices.ContainsFunc(chosen, func(r row) bool { return r.name == name }) {
				return fmt.Errorf("no row is called %s; -list has their names", name)
			}
		}
		chosen = slices.DeleteFunc(chosen, func(r row) bool { return !slices.Contains(s.only, r.name) })
	}
	if s.dir, err = os.MkdirTemp(s.dir, "longshore-bench-"); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(s.dir)) }()
	if err := os.Setenv("TMPDIR", s.dir); err != nil { // for MinIO's data
		return err
	}
	l, err := newLab(ctx, s)
	if err != nil {
		return err
	}
	page := newPage(l)
	for i, r := range chosen {
		began := time.Now()
		fmt.Fprintf(os.Stderr, "%d of %d  %s: %s\n", i+1, len(chosen), r.name, r.about)
		out, failed := l.row(ctx, r)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if failed != nil {
			fmt.Fprintf(os.Stderr, "        failed: %v\n", failed)
			out.lines = append(out.lines, line{work: r.about, longshore: "could not be measured", met: "no"})
			out.notes = append(out.notes, fmt.Sprintf("%s could not be measured: %v", r.about, failed))
		}
		page.add(r, out)
		fmt.Fprintf(os.Stderr, "        %v\n", time.Since(began).Round(time.Second))
		for _, one := range out.lines {
			fmt.Fprintf(os.Stderr, "        %s\n", one)
		}
	}
	if len(s.only) > 0 || s.quick {
		_, err := fmt.Print(page.markdown())
		return err
	}
	return page.write(s.docs)
}

// build builds Longshore from the folder we are in.
func build(ctx context.Context, dir string) (program string, err error) {
	program = filepath.Join(dir, "longshore")
	cmd := exec.CommandContext(ctx, "make", "build", "PROGRAM="+program)
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build longshore: %w: %s", err, out)
	}
	return program, nil
}
