package main

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"time"

	"sub2api.bench/wire"
)

const (
	// Events of a stream that carry no mark.
	frame      = 5
	mostText   = 32 << 10
	tailSize   = 64
	errorPause = 10 * time.Millisecond
	errorText  = 200
)

// A caller makes one call after another on a connection that it keeps.
type caller struct {
	run    *run
	conn   net.Conn
	reader *wire.Reader
	take   func([]byte)

	first time.Time // when the reply's body began
	body  []byte    // what has not been looked through yet, and a little before it
	at    int       // where to look on in body
	next  int       // the sequence number that is due
	got   int       // marks seen
	mixed int       // marks that came late or twice
}

func newCaller(r *run) *caller {
	c := &caller{run: r}
	c.take = c.look
	return c
}

func (c *caller) loop() {
	for c.run.mayBegin() {
		err := c.call()
		if err == nil {
			continue
		}
		c.hangUp()
		if c.run.isOver() {
			c.run.found.unfinished()
			return
		}
		c.run.found.failed(err)
		time.Sleep(errorPause)
	}
	c.hangUp()
}

func (c *caller) hangUp() {
	if c.conn != nil {
		c.run.disconnect(c.conn)
		c.conn = nil
	}
}

func (c *caller) call() error {
	if c.conn == nil {
		conn, err := c.run.connect()
		if err != nil {
			return err
		}
		c.conn, c.reader = conn, wire.NewReader(conn)
	}
	c.first, c.body = time.Time{}, c.body[:0]
	c.at, c.next, c.got, c.mixed = 0, 0, 0, 0
	began := time.Now()
	if _, err := c.conn.Write(c.run.bytes); err != nil {
		return err
	}
	head, err := c.reader.Head()
	if err != nil {
		return err
	}
	status := string(head[:min(len(head), len("HTTP/1.1 200"))])
	fields := wire.Parse(head)
	if err := c.reader.Body(fields.Length, c.take); err != nil {
		return err
	}
	if status != "HTTP/1.1 200" {
		return fmt.Errorf("%s: %s", status, c.body[:min(len(c.body), errorText)])
	}
	if fields.Close {
		c.hangUp()
	}
	return c.record(began)
}

// look takes a piece of a reply's body.
func (c *caller) look(piece []byte) {
	if c.first.IsZero() {
		c.first = c.reader.At
	}
	if len(c.body) > mostText {
		keep := min(c.at, len(c.body)-tailSize)
		c.body = append(c.body[:0], c.body[keep:]...)
		c.at -= keep
	}
	c.body = append(c.body, piece...)
	if !c.run.stream {
		c.at = len(c.body)
		return
	}
	c.lookForMarks()
}

func (c *caller) lookForMarks() {
	now := c.reader.At
	counts, at := c.run.counts(now), now.UnixNano()
	for {
		found := bytes.Index(c.body[c.at:], []byte(wire.MarkSign))
		if found < 0 {
			c.at = max(c.at, len(c.body)-1)
			return
		}
		c.at += found
		if len(c.body)-c.at < wire.MarkSize {
			return
		}
		sequence, sent := wire.ReadMark(c.body[c.at : c.at+wire.MarkSize])
		c.at += wire.MarkSize
		c.got++
		if sequence < c.next {
			c.mixed++
		} else {
			c.next = sequence + 1
		}
		if counts {
			c.run.found.event(at - sent)
		}
	}
}

func (c *caller) record(began time.Time) error {
	ended := c.reader.At
	if c.run.stream {
		c.run.found.marks(max(0, c.run.events-frame-c.got), c.mixed)
		tail := c.body[max(0, len(c.body)-tailSize):]
		if !bytes.Contains(tail, []byte("message_stop")) {
			return errors.New("the stream was cut")
		}
	} else if !bytes.Contains(c.body, []byte(`"output_tokens"`)) {
		return errors.New("the reply is not the vendor's")
	}
	c.run.found.call(ended.Sub(began), c.first.Sub(began), c.run.counts(ended))
	return nil
}

func min(a, b int) int {
	if a < b {
		return a
	}
	return b
}

func max(a, b int) int {
	if a > b {
		return a
	}
	return b
}
