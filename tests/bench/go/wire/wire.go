// Package wire reads HTTP/1.1 messages from a connection without allocating for each of them.
package wire

import (
	"bytes"
	"errors"
	"io"
	"net"
	"time"
)

// Chunked is the length of a body that says its length piece by piece.
const Chunked = -1

// Unset is a number that no header gave.
const Unset = -1

const (
	firstSize = 16 << 10
	largeSize = 256 << 10
	mostHead  = 64 << 10
)

// Fields are the headers that the benchmark's programs look at.
type Fields struct {
	Length            int
	Close             bool
	Events, Gap, Wait int
}

// Reader reads messages from a connection. At is when the latest bytes arrived.
type Reader struct {
	At         time.Time
	conn       net.Conn
	buf        []byte
	start, end int
}

// NewReader returns a reader of the connection.
func NewReader(conn net.Conn) *Reader {
	return &Reader{conn: conn, buf: make([]byte, firstSize)}
}

func (r *Reader) fill() error {
	if r.start == r.end {
		r.start, r.end = 0, 0
	}
	if r.end == len(r.buf) {
		if r.start > 0 {
			r.end = copy(r.buf, r.buf[r.start:r.end])
			r.start = 0
		} else {
			r.grow(2 * len(r.buf))
		}
	}
	n, err := r.conn.Read(r.buf[r.end:])
	r.end += n
	if n > 0 {
		r.At = time.Now()
		return nil
	}
	if err == nil {
		err = io.ErrNoProgress
	}
	return err
}

func (r *Reader) grow(size int) {
	larger := make([]byte, size)
	r.end = copy(larger, r.buf[r.start:r.end])
	r.start, r.buf = 0, larger
}

// Head returns the next message's head, to its empty line. It is valid until the next call.
func (r *Reader) Head() ([]byte, error) {
	seen := 0
	for {
		from := r.start + seen
		if at := bytes.Index(r.buf[from:r.end], []byte("\r\n\r\n")); at >= 0 {
			head := r.buf[r.start : from+at+4]
			r.start = from + at + 4
			return head, nil
		}
		if seen = r.end - r.start - 3; seen < 0 {
			seen = 0
		}
		if seen > mostHead {
			return nil, errors.New("the head is too long")
		}
		if err := r.fill(); err != nil {
			return nil, err
		}
	}
}

// Body gives the body to sink, in pieces as they arrive; a piece is valid during its call only.
func (r *Reader) Body(length int, sink func([]byte)) error {
	if length != Chunked {
		return r.exactly(length, sink)
	}
	for {
		size, err := r.chunkSize()
		if err != nil {
			return err
		}
		if size == 0 {
			return r.trailer()
		}
		if err := r.exactly(size, sink); err != nil {
			return err
		}
		if line, err := r.line(); err != nil || len(line) != 0 {
			return errors.New("a chunk does not end where it said")
		}
	}
}

func (r *Reader) exactly(length int, sink func([]byte)) error {
	if length > len(r.buf) && len(r.buf) < largeSize {
		r.grow(largeSize)
	}
	for length > 0 {
		if r.start == r.end {
			if err := r.fill(); err != nil {
				return err
			}
		}
		take := r.end - r.start
		if take > length {
			take = length
		}
		sink(r.buf[r.start : r.start+take])
		r.start += take
		length -= take
	}
	return nil
}

func (r *Reader) line() ([]byte, error) {
	for {
		if at := bytes.IndexByte(r.buf[r.start:r.end], '\n'); at >= 0 {
			line := r.buf[r.start : r.start+at]
			r.start += at + 1
			return bytes.TrimSuffix(line, []byte("\r")), nil
		}
		if r.end-r.start > mostHead {
			return nil, errors.New("a line is too long")
		}
		if err := r.fill(); err != nil {
			return nil, err
		}
	}
}

func (r *Reader) chunkSize() (int, error) {
	line, err := r.line()
	if err != nil {
		return 0, err
	}
	size, digits := 0, 0
	for _, c := range line {
		switch {
		case c >= '0' && c <= '9':
			size = size<<4 | int(c-'0')
		case c|0x20 >= 'a' && c|0x20 <= 'f':
			size = size<<4 | int(c|0x20-'a'+10)
		default:
			if digits == 0 || c != ';' && c != ' ' {
				return 0, errors.New("a chunk has no size")
			}
			return size, nil
		}
		if digits++; digits > 8 {
			return 0, errors.New("a chunk is too large")
		}
	}
	if digits == 0 {
		return 0, errors.New("a chunk has no size")
	}
	return size, nil
}

func (r *Reader) trailer() error {
	for {
		line, err := r.line()
		if err != nil || len(line) == 0 {
			return err
		}
	}
}

// Parse reads the fields of a head.
func Parse(head []byte) Fields {
	found := Fields{Events: Unset, Gap: Unset, Wait: Unset}
	for {
		at := bytes.IndexByte(head, '\n')
		if at < 0 {
			return found
		}
		head = head[at+1:]
		colon := bytes.IndexByte(head, ':')
		stop := bytes.IndexByte(head, '\r')
		if colon < 0 || stop < colon {
			continue
		}
		found.take(head[:colon], bytes.TrimSpace(head[colon+1:stop]))
	}
}

func (f *Fields) take(name, value []byte) {
	switch len(name) {
	case len("connection"):
		if is(name, "connection") {
			f.Close = is(value, "close")
		}
	case len("content-length"): // and two more of that length
		if is(name, "content-length") {
			f.Length = number(value)
		} else if is(name, "x-bench-events") {
			f.Events = number(value)
		} else if is(name, "x-bench-gap-ms") {
			f.Gap = number(value)
		}
	case len("x-bench-delay-ms"):
		if is(name, "x-bench-delay-ms") {
			f.Wait = number(value)
		}
	case len("transfer-encoding"):
		if is(name, "transfer-encoding") {
			f.Length = Chunked
		}
	}
}

func is(given []byte, wanted string) bool {
	return len(given) == len(wanted) && bytes.EqualFold(given, []byte(wanted))
}

func number(digits []byte) int {
	n := 0
	for _, c := range digits {
		if c < '0' || c > '9' {
			return Unset
		}
		n = n*10 + int(c-'0')
	}
	return n
}
