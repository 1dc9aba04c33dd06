// Load calls a Messages API in a closed loop and prints one JSON object with what it saw.
package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"log"
	"net"
	"net/url"
	"os"
	"runtime/debug"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

type options struct {
	address, key                 string
	concurrency, body, requests  int
	stream                       bool
	duration, warmUp, ramp, rest time.Duration
	events                       int
	headers                      string
}

func parse() options {
	var o options
	target := flag.String("url", "http://127.0.0.1:9001", "where to call")
	flag.StringVar(&o.key, "key", "k", "the x-api-key")
	flag.IntVar(&o.concurrency, "concurrency", 50, "calls at once")
	flag.DurationVar(&o.duration, "duration", 5*time.Second, "time that counts")
	flag.DurationVar(&o.warmUp, "warm-up", time.Second, "time before, which does not count")
	flag.DurationVar(&o.ramp, "ramp", 0, "time over which the callers start, one by one")
	flag.DurationVar(&o.rest, "rest", 15*time.Second, "time after, for calls to end")
	flag.IntVar(&o.requests, "requests", 0, "stop after so many calls instead of after a time")
	flag.IntVar(&o.body, "body", 4<<10, "bytes of a request's body")
	flag.BoolVar(&o.stream, "stream", false, "ask for streams")
	flag.IntVar(&o.events, "events", 60, "events that a stream must have")
	delay := flag.Int("upstream-delay-ms", -1, "ask the fake vendor to wait, by a header")
	gap := flag.Int("gap-ms", -1, "ask the fake vendor to pace its events, by a header")
	flag.Parse()
	parsed, err := url.Parse(*target)
	if err != nil || parsed.Host == "" {
		log.Fatalf("not a URL: %s", *target)
	}
	o.address = parsed.Host
	if *delay >= 0 {
		o.headers += fmt.Sprintf("x-bench-delay-ms: %d\r\n", *delay)
	}
	if *gap >= 0 {
		o.headers += fmt.Sprintf("x-bench-gap-ms: %d\r\nx-bench-events: %d\r\n", *gap, o.events)
	}
	return o
}

// request returns the bytes of one call; its prompt fills the body up to the size wanted.
func (o options) request() []byte {
	start := fmt.Sprintf(`{"model":"claude-sonnet-4-5","max_tokens":1024,"stream":%t,`+
		`"messages":[{"role":"user","content":"`, o.stream)
	end := `"}]}`
	words := "Words that a person may have written, one after another. "
	size := o.body - len(start) - len(end)
	if size < 1 {
		size = 1
	}
	prompt := strings.Repeat(words, size/len(words)+1)[:size]
	body := start + prompt + end
	return []byte(fmt.Sprintf("POST /v1/messages HTTP/1.1\r\nhost: %s\r\nx-api-key: %s\r\n"+
		"anthropic-version: 2023-06-01\r\ncontent-type: application/json\r\n"+
		"accept: application/json\r\nuser-agent: bench/1\r\n%scontent-length: %d\r\n\r\n%s",
		o.address, o.key, o.headers, len(body), body))
}

// run is what all callers share.
type run struct {
	options
	bytes      []byte
	begin, end time.Time // of the time that counts
	left       int64     // calls that may still begin, when they are counted
	found      tally
	mutex      sync.Mutex
	open       map[net.Conn]struct{}
	over       bool
}

func (r *run) mayBegin() bool {
	if r.requests > 0 {
		return atomic.AddInt64(&r.left, -1) >= 0
	}
	return time.Now().Before(r.end)
}

func (r *run) counts(at time.Time) bool {
	return !at.Before(r.begin) && at.Before(r.end)
}

func (r *run) connect() (net.Conn, error) {
	conn, err := net.DialTimeout("tcp", r.address, 10*time.Second)
	if err != nil {
		return nil, err
	}
	r.mutex.Lock()
	defer r.mutex.Unlock()
	if r.over {
		conn.Close()
		return nil, net.ErrClosed
	}
	r.open[conn] = struct{}{}
	return conn, nil
}

func (r *run) disconnect(conn net.Conn) {
	conn.Close()
	r.mutex.Lock()
	delete(r.open, conn)
	r.mutex.Unlock()
}

// giveUp ends the calls that still run.
func (r *run) giveUp() {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	r.over = true
	for conn := range r.open {
		conn.Close()
	}
}

func (r *run) isOver() bool {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	return r.over
}

func main() {
	o := parse()
	debug.SetGCPercent(400)
	now := time.Now()
	r := &run{options: o, bytes: o.request(), open: map[net.Conn]struct{}{}}
	r.begin = now.Add(o.warmUp)
	r.end = r.begin.Add(o.duration)
	if o.requests > 0 {
		r.left = int64(o.requests)
		r.begin, r.end = now, now.Add(time.Hour)
	}
	var callers sync.WaitGroup
	for n := 0; n < o.concurrency; n++ {
		callers.Add(1)
		go func(wait time.Duration) {
			defer callers.Done()
			time.Sleep(wait)
			newCaller(r).loop()
		}(o.ramp * time.Duration(n) / time.Duration(o.concurrency))
	}
	watchdog := time.AfterFunc(time.Until(r.end.Add(o.rest)), r.giveUp)
	callers.Wait()
	watchdog.Stop()
	seconds := o.duration.Seconds()
	if o.requests > 0 {
		seconds = time.Since(now).Seconds()
	}
	if err := json.NewEncoder(os.Stdout).Encode(r.found.summary(seconds, o.stream)); err != nil {
		log.Fatal(err)
	}
}
