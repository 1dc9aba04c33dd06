package main

import (
	"bytes"
	"fmt"
	"net"
	"strings"
	"time"

	"sub2api.bench/wire"
)

const (
	textSize = 1200
	// Events of a stream that are not deltas: message_start, content_block_start,
	// content_block_stop, message_delta, message_stop.
	frame = 5
)

var (
	empty   = []byte("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")
	missing = []byte("HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n")
	whole   = wholeReply()
)

func wholeReply() []byte {
	text := strings.Repeat("some words of an answer ", textSize/24)
	body := `{"id":"msg_bench","type":"message","role":"assistant","model":"claude-sonnet-4-5",` +
		`"content":[{"type":"text","text":"` + text + `"}],"stop_reason":"end_turn",` +
		`"stop_sequence":null,"usage":{"input_tokens":1000,"cache_creation_input_tokens":0,` +
		`"cache_read_input_tokens":0,"output_tokens":300,"service_tier":"standard"}}`
	head := "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nrequest-id: req_bench\r\n"
	return []byte(fmt.Sprintf("%scontent-length: %d\r\n\r\n%s", head, len(body), body))
}

// A stream is a whole reply, rendered once; only the send times are written anew.
type stream struct {
	events int
	data   []byte
	starts []int // where each delta's chunk starts
	times  []int // where each delta's send time stands
}

func newStream(events int) *stream {
	s := &stream{events: events}
	var to bytes.Buffer
	to.WriteString("HTTP/1.1 200 OK\r\ncontent-type: text/event-stream; charset=utf-8\r\n" +
		"cache-control: no-cache\r\nrequest-id: req_bench\r\ntransfer-encoding: chunked\r\n\r\n")
	chunk(&to, "message_start", `"message":{"id":"msg_bench","type":"message","role":"assistant",`+
		`"model":"claude-sonnet-4-5","content":[],"stop_reason":null,"stop_sequence":null,`+
		`"usage":{"input_tokens":1000,"cache_creation_input_tokens":0,`+
		`"cache_read_input_tokens":0,"output_tokens":1}}`)
	chunk(&to, "content_block_start", `"index":0,"content_block":{"type":"text","text":""}`)
	for n := 0; n < events-frame; n++ {
		s.starts = append(s.starts, to.Len())
		mark := wire.Mark(n)
		chunk(&to, "content_block_delta", `"index":0,"delta":{"type":"text_delta","text":"`+
			mark+` a few words"}`)
		at := bytes.LastIndex(to.Bytes(), []byte(mark))
		s.times = append(s.times, at+wire.TimeOffset)
	}
	chunk(&to, "content_block_stop", `"index":0`)
	chunk(&to, "message_delta", `"delta":{"stop_reason":"end_turn","stop_sequence":null},`+
		fmt.Sprintf(`"usage":{"output_tokens":%d}`, events))
	chunk(&to, "message_stop", "")
	to.WriteString("0\r\n\r\n")
	s.data = to.Bytes()
	return s
}

func chunk(to *bytes.Buffer, kind, rest string) {
	if rest != "" {
		rest = "," + rest
	}
	event := fmt.Sprintf("event: %s\ndata: {\"type\":\"%s\"%s}\n\n", kind, kind, rest)
	fmt.Fprintf(to, "%x\r\n%s\r\n", len(event), event)
}

// burst sends the whole stream at once.
func (s *stream) burst(conn net.Conn) error {
	var now [wire.TimeDigits]byte
	wire.PutDigits(now[:], time.Now().UnixNano())
	for _, at := range s.times {
		copy(s.data[at:], now[:])
	}
	_, err := conn.Write(s.data)
	return err
}

// paced sends a delta per gap, on a schedule that a late delta does not move.
func (s *stream) paced(conn net.Conn, gap time.Duration) error {
	due, from := time.Now(), 0
	for n, at := range s.times {
		if _, err := conn.Write(s.data[from:s.starts[n]]); err != nil {
			return err
		}
		due = due.Add(gap)
		time.Sleep(time.Until(due))
		wire.PutDigits(s.data[at:at+wire.TimeDigits], time.Now().UnixNano())
		from = s.starts[n]
	}
	_, err := conn.Write(s.data[from:])
	return err
}
