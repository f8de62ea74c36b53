package cli

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/longshore-registry/longshore/access"
	"github.com/longshore-registry/longshore/access/accounts"
)

// account is what the commands about accounts work with.
type account struct {
	*accounts.Store
	l    loaded
	by   string                           // who runs the command
	done func(format string, args ...any) // tells the audit log what was changed
}

// onAccounts does something with the accounts in the store that the configuration names.
func (p program) onAccounts(c *cobra.Command, configFile []string, do func(context.Context, account) error) error {
	ctx, stop := signal.NotifyContext(c.Context(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	l, err := p.load(configFile)
	if err != nil {
		return err
	}
	if l.driver.Name == "memory" {
		return adviceError{errors.New("what is kept in memory belongs to the process that serves it"), "choose another storage, or keep the users in access.htpasswd"}
	}
	if !l.Access.Users.Enabled {
		return adviceError{errors.New("accounts in the store do not count (access.users.enabled)"), "enable them, or change the accounts where they are kept"}
	}
	log := p.newLogger(l.Log)
	store, err := l.driver.open(ctx)
	if err != nil {
		return l.placed(err)
	}
	defer closeDriver(store)
	audit, closer, err := p.openAudit(l, log)
	if err != nil {
		return err
	}
	if closer != nil {
		defer func() { _ = closer.Close() }()
	}
	// Only for Record: a command identifies nobody.
	control, err := access.NewControl(access.ControlOptions{Audit: audit, Log: log})
	if err != nil {
		return err
	}
	s, err := accounts.Open(store, accounts.Options{Refresh: l.Access.Refresh})
	if err != nil {
		return err
	}
	a := account{Store: s, l: l, by: "longshore by " + p.osUser()}
	a.done = func(format string, args ...any) {
		control.Record(access.Event{Event: access.EventPermission, Outcome: access.OutcomeOK, Who: a.by, Reference: fmt.Sprintf(format, args...)})
	}
	return accountAdvice(do(ctx, a))
}

// osUser is who runs the program.
func (p program) osUser() string {
	for _, name := range []string{"SUDO_USER", "USER", "LOGNAME"} {
		if u := p.getenv(name); u != "" {
			return u
		}
	}
	return fmt.Sprintf("uid %d", p.uid)
}

// accountAdvice says what to do about an error of package accounts.
func accountAdvice(err error) error {
	switch {
	case errors.Is(err, accounts.ErrExists):
		return adviceError{err, "choose another name, or change that account; the commands' help tells how"}
	case errors.Is(err, accounts.ErrAbsent):
		return adviceError{err, "run longshore user list, longshore robot list or longshore key list to see which there are"}
	case errors.Is(err, accounts.ErrName), errors.Is(err, accounts.ErrPassword), errors.Is(err, accounts.ErrGrant):
		return usageError{err}
	}
	return err
}

// passwordFlags say where a password comes from. There is no flag with the password itself: other users of the machine would see it.
type passwordFlags struct{ stdin, generate *bool }

func addPasswordFlags(c *cobra.Command) passwordFlags {
	f := passwordFlags{
		stdin:    c.Flags().Bool("password-stdin", false, "read the password from standard input"),
		generate: c.Flags().Bool("generate", false, "make a password and print it"),
	}
	c.MarkFlagsMutuallyExclusive("password-stdin", "generate")
	return f
}

// newPassword is one with 130 random bits.
func newPassword() string { return rand.Text() }

// password gets one as the flags say, by default from the terminal. made says that it is new and has to be told.
func (p program) password(f passwordFlags) (password string, made bool, err error) {
	switch {
	case *f.generate:
		return newPassword(), true, nil
	case *f.stdin:
		text, err := io.ReadAll(io.LimitReader(p.stdin, 64<<10))
		if err != nil {
			return "", false, fmt.Errorf("the password can't be read from standard input: %w", err)
		}
		return strings.TrimSuffix(strings.TrimSuffix(string(text), "\n"), "\r"), false, nil
	}
	in, ok := p.stdin.(*os.File)
	if !ok || !term.IsTerminal(int(in.Fd())) {
		return "", false, usageError{errors.New("there is no terminal to ask for a password: use --password-stdin or --generate")}
	}
	first, err := p.ask(in, "Password: ")
	if err != nil {
		return "", false, err
	}
	second, err := p.ask(in, "Again: ")
	if err != nil {
		return "", false, err
	}
	if !bytes.Equal(first, second) {
		return "", false, adviceError{errors.New("the two are not the same"), "nothing was changed; try again"}
	}
	return string(first), false, nil
}

// ask reads a line that is not shown.
func (p program) ask(in *os.File, prompt string) ([]byte, error) {
	fmt.Fprint(p.stderr, prompt)
	line, err := term.ReadPassword(int(in.Fd()))
	fmt.Fprintln(p.stderr)
	return line, err
}
