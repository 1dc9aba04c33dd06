// Proxy does the least work of a gateway with httputil.ReverseProxy: it checks the caller's key,
// reads model and stream from the body, puts in the upstream's key, and reads the reply's usage.
package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"flag"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"runtime"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
)

type call struct {
	Model  string `json:"model"`
	Stream bool   `json:"stream"`
}

type gateway struct {
	keys    map[[sha256.Size]byte]string
	proxy   *httputil.ReverseProxy
	metered meter
}

type meter struct {
	input, output, streams int64
}

func (g *gateway) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path != "/v1/messages" {
		http.Error(w, `{"error":"not found"}`, http.StatusNotFound)
		return
	}
	if _, known := g.keys[sha256.Sum256([]byte(r.Header.Get("x-api-key")))]; !known {
		http.Error(w, `{"error":"unknown key"}`, http.StatusUnauthorized)
		return
	}
	body, err := readAll(r)
	if err != nil {
		http.Error(w, `{"error":"unreadable body"}`, http.StatusBadRequest)
		return
	}
	var peeked call
	if err := json.Unmarshal(body, &peeked); err != nil || peeked.Model == "" {
		http.Error(w, `{"error":"name a model"}`, http.StatusBadRequest)
		return
	}
	if peeked.Stream {
		atomic.AddInt64(&g.metered.streams, 1)
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	g.proxy.ServeHTTP(w, r)
}

func readAll(r *http.Request) ([]byte, error) {
	if r.ContentLength < 0 {
		return io.ReadAll(r.Body)
	}
	body := make([]byte, r.ContentLength)
	_, err := io.ReadFull(r.Body, body)
	return body, err
}

// buffers lets ReverseProxy keep its copy buffers.
type buffers struct{ pool sync.Pool }

func (b *buffers) Get() []byte {
	if kept, ok := b.pool.Get().(*[]byte); ok {
		return *kept
	}
	return make([]byte, 32<<10)
}

func (b *buffers) Put(buffer []byte) { b.pool.Put(&buffer) }

func newProxy(upstream *url.URL, key string, m *meter) *httputil.ReverseProxy {
	transport := &http.Transport{
		DialContext:         (&net.Dialer{Timeout: 5 * time.Second}).DialContext,
		MaxIdleConns:        0,
		MaxIdleConnsPerHost: 1024,
		IdleConnTimeout:     90 * time.Second,
		DisableCompression:  true,
	}
	return &httputil.ReverseProxy{
		Transport:     transport,
		FlushInterval: -1,
		BufferPool:    &buffers{},
		Director: func(r *http.Request) {
			r.URL.Scheme, r.URL.Host, r.Host = upstream.Scheme, upstream.Host, upstream.Host
			r.Header.Set("x-api-key", key)
		},
		ModifyResponse: func(reply *http.Response) error {
			reply.Body = &scanner{ReadCloser: reply.Body, meter: m}
			return nil
		},
	}
}

func main() {
	port := flag.Int("port", 9002, "port to listen on")
	upstream := flag.String("upstream", "http://127.0.0.1:9001", "where calls go")
	key := flag.String("key", "k", "the key that callers must have")
	upstreamKey := flag.String("upstream-key", "u", "the key that the upstream is given")
	flag.Parse()
	runtime.GOMAXPROCS(1)
	target, err := url.Parse(*upstream)
	if err != nil {
		log.Fatal(err)
	}
	g := &gateway{keys: map[[sha256.Size]byte]string{sha256.Sum256([]byte(*key)): "bench"}}
	g.proxy = newProxy(target, *upstreamKey, &g.metered)
	log.Fatal(http.ListenAndServe("127.0.0.1:"+strconv.Itoa(*port), g))
}
