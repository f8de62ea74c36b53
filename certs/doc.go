// Package certs makes a registry's port speak TLS: one port for TLS and plain HTTP, certificates that the registry makes
// itself, reads from files or gets by ACME, what is asked of clients, and the page that tells people how their client is made to trust
// all that.
//
//	authority, err := certs.OpenAuthority(ctx, keep)
//	local, err := certs.NewLocal(authority, certs.LocalOptions{Hosts: []string{"nas.lan"}})
//	go local.Run(ctx)
//	listener := certs.Listen(tcp, certs.ListenOptions{TLS: certs.Config(local, certs.ConfigOptions{}), Timeout: 10 * time.Second})
//	http.Serve(listener, handler)
package certs
