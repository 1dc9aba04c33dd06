package wire

// A mark is what a delta's text begins with, in a fixed width, so that it can be written in place:
// @@ sequence number : send time in ns @@
const (
	MarkSize    = 2 + seqDigits + 1 + TimeDigits + 2
	TimeDigits  = 19
	TimeOffset  = 2 + seqDigits + 1
	MarkSign    = "@@"
	seqDigits   = 8
	blankDigits = "0000000000000000000"
)

// Mark returns a mark without its time.
func Mark(sequence int) string {
	var digits [seqDigits]byte
	PutDigits(digits[:], int64(sequence))
	return MarkSign + string(digits[:]) + ":" + blankDigits + MarkSign
}

// PutDigits fills the whole of to with a number's digits.
func PutDigits(to []byte, n int64) {
	for at := len(to) - 1; at >= 0; at-- {
		to[at] = byte('0' + n%10)
		n /= 10
	}
}

// ReadMark returns the sequence number and send time of a whole mark.
func ReadMark(mark []byte) (sequence int, sent int64) {
	for _, c := range mark[2 : 2+seqDigits] {
		sequence = sequence*10 + int(c-'0')
	}
	for _, c := range mark[TimeOffset : TimeOffset+TimeDigits] {
		sent = sent*10 + int64(c-'0')
	}
	return sequence, sent
}
