// Upstream is a fake vendor of the Messages API with fixed replies.
//
// How it replies is set by flags, for all later requests by the headers of a `GET /bench`, or for
// one request by the same headers: x-bench-events, x-bench-gap-ms, x-bench-delay-ms.
package main

import (
	"bytes"
	"flag"
	"log"
	"net"
	"runtime/debug"
	"sync/atomic"
	"time"

	"sub2api.bench/wire"
)

const (
	headPart = 4 << 10
	tailPart = 1 << 10
)

type settings struct {
	events     int
	gap, delay time.Duration
}

func (s settings) changed(fields wire.Fields) settings {
	if fields.Events != wire.Unset {
		s.events = fields.Events
	}
	if fields.Gap != wire.Unset {
		s.gap = time.Duration(fields.Gap) * time.Millisecond
	}
	if fields.Wait != wire.Unset {
		s.delay = time.Duration(fields.Wait) * time.Millisecond
	}
	return s
}

type vendor struct {
	settings atomic.Pointer[settings]
}

type client struct {
	vendor     *vendor
	conn       net.Conn
	reader     *wire.Reader
	stream     *stream
	head, tail []byte
	keep       func([]byte)
}

func (v *vendor) serve(conn net.Conn) {
	defer conn.Close()
	c := &client{vendor: v, conn: conn, reader: wire.NewReader(conn)}
	c.keep = c.keepEnds
	for c.answer() {
	}
}

// keepEnds keeps a body's first and last bytes: whether to stream stands in one of them, and a
// body of 400 KB need not be kept for it.
func (c *client) keepEnds(piece []byte) {
	if free := headPart - len(c.head); free > 0 {
		if free > len(piece) {
			free = len(piece)
		}
		c.head = append(c.head, piece[:free]...)
	}
	if len(piece) > tailPart {
		piece = piece[len(piece)-tailPart:]
	}
	if len(c.tail)+len(piece) > 2*tailPart {
		c.tail = append(c.tail[:0], c.tail[len(c.tail)-tailPart:]...)
	}
	c.tail = append(c.tail, piece...)
}

func (c *client) wantsStream() bool {
	return asksForStream(c.head) || asksForStream(c.tail)
}

func asksForStream(part []byte) bool {
	at := bytes.Index(part, []byte(`"stream":`))
	return at >= 0 && bytes.HasPrefix(bytes.TrimLeft(part[at+9:], " "), []byte("true"))
}

// answer answers one request; it returns whether the connection lives on.
func (c *client) answer() bool {
	head, err := c.reader.Head()
	if err != nil {
		return false
	}
	fields := wire.Parse(head)
	calls := bytes.HasPrefix(head, []byte("POST /v1/messages"))
	sets := bytes.HasPrefix(head, []byte("GET /bench"))
	c.head, c.tail = c.head[:0], c.tail[:0]
	if c.reader.Body(fields.Length, c.keep) != nil {
		return false
	}
	now := c.vendor.settings.Load().changed(fields)
	switch {
	case sets:
		c.vendor.settings.Store(&now)
		_, err = c.conn.Write(empty)
	case !calls:
		_, err = c.conn.Write(missing)
	default:
		err = c.reply(now)
	}
	return err == nil && !fields.Close
}

func (c *client) reply(now settings) error {
	if now.delay > 0 {
		time.Sleep(now.delay)
	}
	if !c.wantsStream() {
		_, err := c.conn.Write(whole)
		return err
	}
	if c.stream == nil || c.stream.events != now.events {
		c.stream = newStream(now.events)
	}
	if now.gap > 0 {
		return c.stream.paced(c.conn, now.gap)
	}
	return c.stream.burst(c.conn)
}

func main() {
	address := flag.String("listen", "127.0.0.1:9001", "address to listen on")
	events := flag.Int("events", 60, "events of a stream")
	gap := flag.Duration("gap", 0, "time between two deltas; 0 sends a stream at once")
	delay := flag.Duration("delay", 0, "time before a reply")
	flag.Parse()
	debug.SetGCPercent(400)
	listener, err := net.Listen("tcp", *address)
	if err != nil {
		log.Fatal(err)
	}
	v := &vendor{}
	v.settings.Store(&settings{events: *events, gap: *gap, delay: *delay})
	for {
		conn, err := listener.Accept()
		if err != nil {
			log.Fatal(err)
		}
		go v.serve(conn)
	}
}
