package index

import "time"

// set takes over a document, unless something newer is known or there is no room. etag is that of the object, "" if unknown.
func (ix *Index) set(d document, etag string) {
	e := newEntry(d)
	ix.mu.Lock()
	defer ix.mu.Unlock()
	old := ix.entries[d.Repo]
	if old != nil && old.rev > e.rev {
		old.generation = ix.generation
		return
	}
	e.etag, e.generation = etag, ix.generation
	ix.place(e)
}

// place keeps an entry if it fits. The lock is held.
func (ix *Index) place(e *entry) {
	size := e.bytes()
	if old := ix.entries[e.Repo]; old != nil {
		ix.used -= old.bytes()
		delete(ix.entries, e.Repo)
	}
	if ix.used+size > ix.memory {
		ix.left = true
		return
	}
	ix.entries[e.Repo] = e
	ix.used += size
}

// sketch makes a new repository known by its name before more of it is.
func (ix *Index) sketch(repo string, pushed time.Time, by string) {
	ix.mu.Lock()
	defer ix.mu.Unlock()
	if old := ix.entries[repo]; old == nil || old.gone {
		ix.place(&entry{About: About{Repo: repo, Pushed: pushed, By: by}, generation: ix.generation})
	}
}

// forget takes a repository away, as of rev.
func (ix *Index) forget(repo string, rev int64) {
	ix.set(document{Repo: repo, Rev: rev, Gone: true}, "")
}

// knows reports whether the object of a repository that has this ETag was read. It is seen in any case.
func (ix *Index) knows(repo, etag string) bool {
	ix.mu.Lock()
	defer ix.mu.Unlock()
	e := ix.entries[repo]
	if e == nil {
		return false
	}
	e.generation = ix.generation
	return e.etag == etag && !e.gone
}

// begin starts a comparison, in which all entries are seen that have an object.
func (ix *Index) begin() {
	ix.mu.Lock()
	defer ix.mu.Unlock()
	ix.generation++
	ix.left = false
}

// end drops what was not seen since begin.
func (ix *Index) end() {
	ix.mu.Lock()
	defer ix.mu.Unlock()
	for repo, e := range ix.entries {
		if e.generation != ix.generation {
			ix.used -= e.bytes()
			delete(ix.entries, repo)
		}
	}
	ix.complete = true
}
