package main

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"

	"github.com/longshore-registry/longshore/bench"
	"github.com/longshore-registry/longshore/internal/daemon"
	"github.com/longshore-registry/longshore/internal/miniotest"
)

// lab is what all rows use.
type lab struct {
	settings
	program      string // Longshore
	distribution string
	zot          string // "" if it is not there
	nginx        string
}

func newLab(ctx context.Context, s settings) (*lab, error) {
	l := &lab{settings: s}
	var errs []error
	find := func(program, install string) string {
		path, err := daemon.Find(program, install)
		if err != nil {
			errs = append(errs, err)
		}
		return path
	}
	l.distribution = find("registry", "go install github.com/distribution/distribution/v3/cmd/registry@v3.1.2")
	l.nginx = find("nginx", "apt-get install nginx-light")
	if _, err := miniotest.Find(); err != nil {
		errs = append(errs, err)
	}
	if path, err := daemon.Find("zot", "go install zotregistry.dev/zot/v2/cmd/zot@latest"); err == nil {
		l.zot = path
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	var err error
	l.program, err = build(ctx, s.dir)
	return l, err
}

// row measures one row with servers of its own.
func (l *lab) row(ctx context.Context, r row) (out outcome, err error) {
	dir, err := os.MkdirTemp(l.dir, "row-")
	if err != nil {
		return out, err
	}
	b := &bay{lab: l, dir: dir}
	defer func() { err = errors.Join(err, b.close()) }()
	return r.measure(ctx, b)
}

// bay is a place in the lab: the servers of one row, and their data.
type bay struct {
	*lab
	dir     string
	minio   *miniotest.Server
	closers []func()
	made    int // folders and buckets
}

// close ends the servers, the youngest first, and removes their data.
func (b *bay) close() error {
	for i := len(b.closers) - 1; i >= 0; i-- {
		b.closers[i]()
	}
	return os.RemoveAll(b.dir)
}

// server is one that runs.
type server struct {
	bench.Target
	process *daemon.Process
}

// start starts a registry that listens on 127.0.0.1:port.
func (b *bay) start(name string, port int, cmd *exec.Cmd) (server, error) {
	cmd.Dir = b.dir
	process, err := daemon.Start(cmd)
	if err != nil {
		return server{}, err
	}
	b.closers = append(b.closers, process.Kill)
	at := fmt.Sprintf("http://127.0.0.1:%d", port)
	if err := process.UntilAnswers(at + "/v2/"); err != nil {
		return server{}, err
	}
	u, err := url.Parse(at)
	return server{bench.Target{Name: name, URL: u, PIDs: []int{cmd.Process.Pid}}, process}, err
}

// counted gives the server's requests to the store, if a proxy counts them.
func (s server) counted(to store) server {
	if to.proxy != nil {
		s.Calls = to.proxy.calls.Load
	}
	return s
}

// folder is a new one.
func (b *bay) folder() (string, error) {
	b.made++
	path := filepath.Join(b.dir, fmt.Sprintf("folder-%d", b.made))
	return path, os.Mkdir(path, 0o755)
}

// store is where a registry keeps its images: a folder, or a bucket of MinIO.
type store struct {
	folder string // or:

	bucket, endpoint string // the latter may be that of a proxy
	user, password   string

	proxy *proxy // that counts; nil if there is none
}

func (b *bay) onFolder() (store, error) {
	path, err := b.folder()
	return store{folder: path}, err
}

// onMinIO is a new bucket, of which the endpoint is MinIO itself.
func (b *bay) onMinIO(ctx context.Context) (store, error) {
	if b.minio == nil {
		s, err := miniotest.Run("")
		if err != nil {
			return store{}, err
		}
		b.minio = s
		b.closers = append(b.closers, s.Stop)
	}
	b.made++
	to := store{bucket: fmt.Sprintf("bucket-%d", b.made), endpoint: b.minio.URL, user: b.minio.User, password: b.minio.Password}
	c, err := b.clientOf(to)
	if err != nil {
		return to, err
	}
	return to, c.MakeBucket(ctx, to.bucket, minio.MakeBucketOptions{Region: miniotest.Region})
}

// onMinIOFar is onMinIO behind a proxy, which counts requests and delays each.
func (b *bay) onMinIOFar(ctx context.Context, delay time.Duration) (store, error) {
	to, err := b.onMinIO(ctx)
	if err != nil {
		return to, err
	}
	if to.proxy, err = newProxy(to.endpoint, delay); err != nil {
		return to, err
	}
	b.closers = append(b.closers, to.proxy.close)
	to.endpoint = to.proxy.url
	return to, nil
}

// longshore starts Longshore on a store, with the defaults of all settings.
func (b *bay) longshore(to store) (server, error) {
	port, err := daemon.FreePort()
	if err != nil {
		return server{}, err
	}
	cmd := exec.Command(b.program, "serve")
	cmd.Env = append(os.Environ(), fmt.Sprintf("LONGSHORE_HTTP_ADDR=127.0.0.1:%d", port), "LONGSHORE_LOG_LEVEL=warn")
	if to.folder != "" {
		cmd.Env = append(cmd.Env, "LONGSHORE_STORAGE_FS_ROOT="+to.folder)
	} else {
		cmd.Env = append(cmd.Env, "LONGSHORE_STORAGE_MINIO_ENDPOINT="+to.endpoint, "LONGSHORE_STORAGE_MINIO_BUCKET="+to.bucket,
			"LONGSHORE_STORAGE_MINIO_ACCESS_KEY="+to.user, "LONGSHORE_STORAGE_MINIO_SECRET_KEY="+to.password)
	}
	s, err := b.start(longshoreName, port, cmd)
	return s.counted(to), err
}

// The names of targets.
const (
	longshoreName    = "Longshore"
	distributionName = "distribution"
	zotName          = "zot"
	nginxName        = "nginx"
	bareName         = "bare handler"
	plainName        = "plain GET"
)

// peers starts the other registries, each on a store of its own that next makes.
func (b *bay) peers(next func() (store, error)) (all []server, err error) {
	for _, f := range []func(store) (server, bool, error){b.startDistribution, b.startZot} {
		to, err := next()
		if err != nil {
			return all, err
		}
		one, ok, err := f(to)
		if err != nil {
			return all, err
		}
		if ok {
			all = append(all, one.counted(to))
		}
	}
	return all, nil
}

func (b *bay) startDistribution(to store) (s server, ok bool, err error) {
	port, err := daemon.FreePort()
	if err != nil {
		return s, false, err
	}
	where := fmt.Sprintf("  filesystem: {rootdirectory: %q}\n", to.folder)
	if to.folder == "" {
		where = fmt.Sprintf("  s3: {accesskey: %q, secretkey: %q, region: %s, regionendpoint: %q, bucket: %s, secure: false, forcepathstyle: true}\n",
			to.user, to.password, miniotest.Region, to.endpoint, to.bucket)
	}
	// As the configuration that comes with it, but for the log of requests, which Longshore does not write either.
	config := fmt.Sprintf(`version: 0.1
log: {level: error, accesslog: {disabled: true}}
storage:
%s  cache: {blobdescriptor: inmemory}
  delete: {enabled: true}
  redirect: {disable: true}
http: {addr: "127.0.0.1:%d", secret: hush}
`, where, port)
	path := filepath.Join(b.dir, fmt.Sprintf("distribution-%d.yml", port))
	if err := os.WriteFile(path, []byte(config), 0o600); err != nil {
		return s, false, err
	}
	cmd := exec.Command(b.distribution, "serve", path)
	cmd.Env = append(os.Environ(), "OTEL_TRACES_EXPORTER=none")
	s, err = b.start(distributionName, port, cmd)
	return s, true, err
}

func (b *bay) startZot(to store) (s server, ok bool, err error) {
	if b.zot == "" {
		return s, false, nil
	}
	port, err := daemon.FreePort()
	if err != nil {
		return s, false, err
	}
	storage := fmt.Sprintf(`{"rootDirectory": %q, "gc": false}`, to.folder)
	if to.folder == "" {
		storage = fmt.Sprintf(`{"rootDirectory": "/zot", "gc": false, "dedupe": false, "storageDriver": {"name": "s3", "rootdirectory": "/zot",
  "region": %q, "regionendpoint": %q, "bucket": %q, "secure": false, "skipverify": true, "forcepathstyle": true, "accesskey": %q, "secretkey": %q}}`,
			miniotest.Region, to.endpoint, to.bucket, to.user, to.password)
	}
	config := fmt.Sprintf(`{"distSpecVersion": "1.1.1", "storage": %s, "http": {"address": "127.0.0.1", "port": "%d"}, "log": {"level": "error"}}`, storage, port)
	path := filepath.Join(b.dir, fmt.Sprintf("zot-%d.json", port))
	if err := os.WriteFile(path, []byte(config), 0o600); err != nil {
		return s, false, err
	}
	s, err = b.start(zotName, port, exec.Command(b.zot, "serve", path))
	return s, true, err
}

// startNginx serves the files in a folder with sendfile.
func (b *bay) startNginx(folder string) (server, error) {
	port, err := daemon.FreePort()
	if err != nil {
		return server{}, err
	}
	config := fmt.Sprintf(`
daemon off;
master_process off;
pid %[1]s/nginx.pid;
error_log stderr error;
events {}
http {
	sendfile on;
	tcp_nopush on;
	access_log off;
	keepalive_requests 1000000;
	client_body_temp_path %[1]s/nginx-body;
	proxy_temp_path %[1]s/nginx-proxy;
	fastcgi_temp_path %[1]s/nginx-fastcgi;
	uwsgi_temp_path %[1]s/nginx-uwsgi;
	scgi_temp_path %[1]s/nginx-scgi;
	server {
		listen 127.0.0.1:%[2]d;
		root %[3]s;
	}
}
`, b.dir, port, folder)
	if os.Geteuid() == 0 {
		config = "user root;\n" + config // the folder is root's
	}
	path := filepath.Join(b.dir, "nginx.conf")
	if err := os.WriteFile(path, []byte(config), 0o600); err != nil {
		return server{}, err
	}
	return b.start(nginxName, port, exec.Command(b.nginx, "-p", b.dir, "-c", path))
}

// startBare serves one file with nothing but net/http.
func (b *bay) startBare(file string) (server, error) {
	port, err := daemon.FreePort()
	if err != nil {
		return server{}, err
	}
	self, err := os.Executable()
	if err != nil {
		return server{}, err
	}
	return b.start(bareName, port, exec.Command(self, bareCommand, fmt.Sprintf("127.0.0.1:%d", port), file))
}

// clientOf is a client for a store on MinIO, by way of its proxy.
func (b *bay) clientOf(to store) (*minio.Client, error) {
	u, err := url.Parse(to.endpoint)
	if err != nil {
		return nil, err
	}
	return minio.New(u.Host, &minio.Options{Creds: credentials.NewStaticV4(to.user, to.password, ""), Region: miniotest.Region})
}
