package main

import (
	"math/bits"
	"sync"
	"time"
)

// A histogram of nanoseconds, exact to 0.8 %: each power of two has as many parts of equal width.
const (
	partBits = 7
	parts    = 1 << partBits
)

type histogram struct {
	counts [64 * parts]int64
	total  int64
	most   int64
}

func (h *histogram) add(ns int64) {
	if ns < 0 {
		ns = 0
	}
	h.counts[bucket(ns)]++
	h.total++
	if ns > h.most {
		h.most = ns
	}
}

func bucket(ns int64) int {
	if ns < parts {
		return int(ns)
	}
	shift := bits.Len64(uint64(ns)) - 1 - partBits
	return (shift+1)*parts + int(ns>>shift) - parts
}

// middle returns the middle of a bucket.
func middle(at int) float64 {
	if at < parts {
		return float64(at)
	}
	shift := at/parts - 1
	return (float64(at%parts+parts) + 0.5) * float64(int64(1)<<shift)
}

// ms returns the milliseconds that a share of all values does not exceed.
func (h *histogram) ms(share float64) float64 {
	left := int64(share * float64(h.total))
	for at, count := range h.counts {
		if left -= count; left < 0 {
			return middle(at) / 1e6
		}
	}
	return float64(h.most) / 1e6
}

// describe adds the usual figures to found; where nothing was seen there are none.
func (h *histogram) describe(found map[string]interface{}, prefix string) {
	if h.total == 0 {
		return
	}
	found[prefix+"p50_ms"] = h.ms(0.50)
	found[prefix+"p90_ms"] = h.ms(0.90)
	found[prefix+"p99_ms"] = h.ms(0.99)
	found[prefix+"max_ms"] = float64(h.most) / 1e6
}

// A tally is what all callers found.
type tally struct {
	mutex                    sync.Mutex
	took, first, late        histogram
	all, errors, cut         int64
	events, lost, outOfOrder int64
	example                  string
}

func (t *tally) call(took, first time.Duration, counts bool) {
	t.mutex.Lock()
	defer t.mutex.Unlock()
	t.all++
	if counts {
		t.took.add(int64(took))
		t.first.add(int64(first))
	}
}

func (t *tally) event(late int64) {
	t.mutex.Lock()
	t.late.add(late)
	t.mutex.Unlock()
}

func (t *tally) marks(lost, outOfOrder int) {
	t.mutex.Lock()
	t.lost += int64(lost)
	t.outOfOrder += int64(outOfOrder)
	t.mutex.Unlock()
}

func (t *tally) failed(err error) {
	t.mutex.Lock()
	defer t.mutex.Unlock()
	t.all++
	t.errors++
	if t.example == "" {
		t.example = err.Error()
	}
}

func (t *tally) unfinished() {
	t.mutex.Lock()
	t.cut++
	t.mutex.Unlock()
}

func (t *tally) summary(seconds float64, stream bool) map[string]interface{} {
	found := map[string]interface{}{
		"requests":     t.took.total,
		"all_requests": t.all,
		"errors":       t.errors,
		"error":        t.example,
		"unfinished":   t.cut,
		"seconds":      seconds,
		"per_second":   float64(t.took.total) / seconds,
	}
	t.took.describe(found, "")
	t.first.describe(found, "ttfb_")
	if stream {
		found["events"] = t.late.total
		found["events_per_second"] = float64(t.late.total) / seconds
		found["lost"] = t.lost
		found["reordered"] = t.outOfOrder
		t.late.describe(found, "late_")
	}
	return found
}
