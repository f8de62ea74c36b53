package main

import (
	"net/http"
	"os"
	"strconv"
)

// bareCommand makes this program the server that [serveBare] is.
const bareCommand = "bare"

// serveBare answers each request with a small file that it reads anew, as a registry on a folder has to, and does nothing else.
func serveBare(addr, file string) error {
	return http.ListenAndServe(addr, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := os.ReadFile(file)
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		h := w.Header()
		h.Set("Content-Type", "application/vnd.oci.image.manifest.v1+json")
		h.Set("Content-Length", strconv.Itoa(len(body)))
		if r.Method != http.MethodHead {
			_, _ = w.Write(body) // the client is gone
		}
	}))
}
