// SPDX-License-Identifier: MIT

// The Go half of `make bench`. bench.lua is the other half: same names, same work, same form of output.
//
//	main NAME [N]    prints one line: NAME VALUE UNIT
//
// N is the size of a repetition (operations, leaves or goroutines) and is chosen here where it is not given.
// The number of processors is GOMAXPROCS, from the environment.
package main

import (
	"context"
	"fmt"
	"math"
	"math/bits"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// A benchmark is the work, done n times, and the way to measure it.
type benchmark struct {
	work    func(n int)
	measure func(work func(n int), n int) (value float64, unit string)
	n       int // 0: measure finds out
}

var benchmarks = map[string]benchmark{
	"spawn":            {spawn, perOperation, 0},
	"yield":            {yield, perOperation, 0},
	"pingpong":         {pingpong, perOperation, 0},
	"buffered_int":     {bufferedInt, perOperation, 0},
	"buffered_str":     {bufferedStr, perOperation, 0},
	"fanin8":           {fanin8, perOperation, 0},
	"select2":          {func(n int) { select2(0, n) }, perOperation, 0},
	"select2_buffered": {func(n int) { select2(128, n) }, perOperation, 0},
	"select8":          {select8, perOperation, 0},
	"mutex":            {mutex, perOperation, 0},
	"timer":            {timer, perOperation, 0},
	"context":          {cancelling, perOperation, 0},
	"overshoot":        {nil, overshoot, 2000},
	"histogram":        {histogram, perOperation, 0},
	"mutex100":         {mutex100, perOperation, 0},
	"rwmutex":          {rwmutex, perOperation, 0},
	"waitgroup":        {waitgroup, perOperation, 0},
	"map":              {syncMap, perOperation, 0},
	"skynet":           {skynet, total, 1_000_000},
	"remote_pingpong":  {pingpong, perOperation, 0}, // Go decides where the partner runs
	"ring":             {ring, perOperation, 200_000},
	"parallel_fib":     {parallelFib, total, 16},
	"parked_100k":      {park, residentBytes, 100_000},
	"parked_1m":        {park, residentBytes, 1_000_000},
	"late_p50":         {nil, lateness(0.5), 200},
	"late_max":         {nil, lateness(1), 200},
	"spectral":         {besideSleeper(spectral), total, 1500},
	"nbody":            {besideSleeper(nbody), total, 2_000_000},
	"mandelbrot":       {besideSleeper(mandelbrot), total, 2500},

	"spectral_preempt":   {nil, preempted("spectral"), 5},
	"nbody_preempt":      {nil, preempted("nbody"), 5},
	"mandelbrot_preempt": {nil, preempted("mandelbrot"), 5},
}

func main() {
	if len(os.Args) < 2 {
		fail("usage: main NAME [N]")
	}
	name := os.Args[1]
	b, known := benchmarks[name]
	if !known {
		fail("no benchmark " + name)
	}
	if len(os.Args) > 2 {
		n, err := strconv.Atoi(os.Args[2])
		if err != nil || n < 1 {
			fail("N must be a positive integer")
		}
		b.n = n
	}
	value, unit := b.measure(b.work, b.n)
	fmt.Printf("%s %.2f %s\n", name, value, unit)
}

func fail(why string) {
	fmt.Fprintln(os.Stderr, "bench:", why)
	os.Exit(1)
}

// check keeps both halves honest: what was sent has arrived.
func check(got, want int) {
	if got != want {
		fail(fmt.Sprintf("wrong result: %d, not %d", got, want))
	}
}

// --- Measuring ---

func elapsed(work func(int), n int) time.Duration {
	start := time.Now()
	work(n)
	return time.Since(start)
}

// perOperation is the median of five repetitions of 80 ms or more, in ns per operation. Finding their size is the
// warm-up.
func perOperation(work func(int), n int) (float64, string) {
	if n == 0 {
		for n = 1000; elapsed(work, n) < 80*time.Millisecond; {
			n *= 2
		}
	} else {
		work(n)
	}
	return median(5, work, n) / float64(n), "ns"
}

// total is the median of three repetitions, in ms, after one to warm up: for work whose size is given.
func total(work func(int), n int) (float64, string) {
	work(n)
	return median(3, work, n) / 1e6, "ms"
}

func median(repetitions int, work func(int), n int) float64 {
	times := make([]time.Duration, repetitions)
	for i := range times {
		times[i] = elapsed(work, n)
	}
	slices.Sort(times)
	return float64(times[repetitions/2].Nanoseconds())
}

// residentBytes is what the process has grown by for each of n, once; a second time would find the memory at hand.
func residentBytes(work func(int), n int) (float64, string) {
	before := resident()
	work(n)
	return (resident() - before) / float64(n), "bytes"
}

func resident() float64 {
	runtime.GC()
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		fail(err.Error())
	}
	_, rest, _ := strings.Cut(string(status), "VmRSS:")
	kilobytes, err := strconv.Atoi(strings.Fields(rest)[0])
	if err != nil {
		fail(err.Error())
	}
	return float64(kilobytes) * 1024
}

// --- The work ---

func empty() {}

// spawn starts goroutines in batches that fit Go's local run queue, or it would pay for the overflow. Their end is
// seen in the number of goroutines, so that they do nothing.
func spawn(n int) {
	before := runtime.NumGoroutine()
	for n > 0 {
		batch := min(n, 200)
		for range batch {
			go empty()
		}
		for runtime.NumGoroutine() > before {
			runtime.Gosched()
		}
		n -= batch
	}
}

// yield has two goroutines take turns.
func yield(n int) {
	var wg sync.WaitGroup
	wg.Add(2)
	for range 2 {
		go func() {
			for range n / 2 {
				runtime.Gosched()
			}
			wg.Done()
		}()
	}
	wg.Wait()
}

// pingpong: one operation is a round trip over two unbuffered channels.
func pingpong(n int) {
	ping, pong := make(chan int), make(chan int)
	go func() {
		for range n {
			pong <- <-ping
		}
	}()
	sum := 0
	for i := range n {
		ping <- i
		sum += <-pong
	}
	check(sum, n*(n-1)/2)
}

func bufferedInt(n int) {
	c := make(chan int, 128)
	go func() {
		for i := range n {
			c <- i
		}
	}()
	sum := 0
	for range n {
		sum += <-c
	}
	check(sum, n*(n-1)/2)
}

// names are 1,024 distinct strings of 32 bytes.
var names = sync.OnceValue(func() []string {
	list := make([]string, 1024)
	for i := range list {
		list[i] = fmt.Sprintf("%032d", i)
	}
	return list
})

func bufferedStr(n int) {
	names := names()
	c := make(chan string, 128)
	go func() {
		for i := range n {
			c <- names[i%1024]
		}
	}()
	sum := 0
	for range n {
		sum += len(<-c)
	}
	check(sum, 32*n)
}

// fanin8 has eight producers send to one channel.
func fanin8(n int) {
	c := make(chan int, 64)
	each := n / 8
	for range 8 {
		go func() {
			for i := range each {
				c <- i
			}
		}()
	}
	sum := 0
	for range each * 8 {
		sum += <-c
	}
	check(sum, 8*(each*(each-1)/2))
}

// select2 receives from two channels, each with a producer of its own.
func select2(capacity, n int) {
	a, b := make(chan int, capacity), make(chan int, capacity)
	half := n / 2
	produce := func(c chan int) {
		for i := range half {
			c <- i
		}
	}
	go produce(a)
	go produce(b)
	sum := 0
	for range half * 2 {
		select {
		case v := <-a:
			sum += v
		case v := <-b:
			sum += v
		}
	}
	check(sum, half*(half-1))
}

// select8 receives from eight channels, each with a producer of its own.
func select8(n int) {
	var c [8]chan int
	each := n / 8
	for i := range c {
		c[i] = make(chan int)
		go func() {
			for v := range each {
				c[i] <- v
			}
		}()
	}
	sum := 0
	for range each * 8 {
		select {
		case v := <-c[0]:
			sum += v
		case v := <-c[1]:
			sum += v
		case v := <-c[2]:
			sum += v
		case v := <-c[3]:
			sum += v
		case v := <-c[4]:
			sum += v
		case v := <-c[5]:
			sum += v
		case v := <-c[6]:
			sum += v
		case v := <-c[7]:
			sum += v
		}
	}
	check(sum, 4*each*(each-1))
}

// timer: one operation is a timer that is made and stopped before it is due.
func timer(n int) {
	stopped := 0
	for range n {
		if time.NewTimer(time.Hour).Stop() {
			stopped++
		}
	}
	check(stopped, n)
}

// cancelling: one operation is a context that can be canceled, one of a thousand children that end with their parent.
func cancelling(n int) {
	var last context.Context
	for range n / 1000 {
		parent, cancel := context.WithCancel(context.Background())
		for range 1000 {
			last, _ = context.WithCancel(parent)
		}
		cancel()
		if last.Err() != context.Canceled {
			fail("a child that was not canceled")
		}
	}
}

// overshoot: how much longer than asked for n sleeps of 100 us are, in the mean.
func overshoot(_ func(int), n int) (float64, string) {
	var sum time.Duration
	for range n {
		start := time.Now()
		time.Sleep(100 * time.Microsecond)
		sum += time.Since(start) - 100*time.Microsecond
	}
	return float64(sum.Microseconds()) / float64(n), "us"
}

// mutex: one operation is a lock and an unlock that nobody contends for.
func mutex(n int) {
	var m sync.Mutex
	count := 0
	for range n {
		m.Lock()
		count++
		m.Unlock()
	}
	check(count, n)
}

// Counts in the layout of HdrHistogram: from 1 to 3.6e9, to 3 digits.
type counts struct {
	slots [23 * 1024]int64
	total int64
}

func (c *counts) record(v int64) bool {
	doublings := 53 - bits.LeadingZeros64(uint64(v)|2047)
	slot := doublings<<10 + int(v>>doublings)
	if slot < 0 || slot >= len(c.slots) {
		return false
	}
	c.slots[slot]++
	c.total++
	return true
}

// 1,024 times in microseconds, from 20 us to 20 ms, in no order.
var latencies = func() (l [1024]int64) {
	for i := range l {
		l[i] = int64(20 * math.Pow(1000, float64(i*389%1024)/1024))
	}
	return
}()

// histogram records; one operation is a value.
func histogram(n int) {
	var c counts
	for i := 1; i <= n; i++ {
		c.record(latencies[i%1024])
	}
	check(int(c.total), n)
}

// mutex100 has a hundred goroutines take turns at a mutex; who has it lets the others run, so that they have to wait.
func mutex100(n int) {
	var m sync.Mutex
	var wg sync.WaitGroup
	count, each := 0, (n+99)/100
	wg.Add(100)
	for range 100 {
		go func() {
			for range each {
				m.Lock()
				count++
				runtime.Gosched()
				m.Unlock()
			}
			wg.Done()
		}()
	}
	wg.Wait()
	check(count, each*100)
}

// waitgroup: one operation is one of a thousand goroutines that are counted, and waited for.
func waitgroup(n int) {
	var wg sync.WaitGroup
	for i := 0; i < n; i += 1000 {
		for range 1000 {
			wg.Add(1)
			go wg.Done()
		}
		wg.Wait()
	}
}

// rwmutex: one operation is a reader's lock and unlock that nobody contends for.
func rwmutex(n int) {
	var m sync.RWMutex
	count := 0
	for range n {
		m.RLock()
		count++
		m.RUnlock()
	}
	check(count, n)
}

// syncMap reads and writes numbers in a map of a thousand strings, nine to one.
func syncMap(n int) {
	names := names()
	var m sync.Map
	for _, name := range names {
		m.Store(name, 1)
	}
	sum := 0
	for i := range n {
		if (i+1)%10 == 0 {
			m.Store(names[i%1024], 1)
		} else {
			v, _ := m.Load(names[i%1024])
			sum += v.(int)
		}
	}
	check(sum, n-n/10)
}

// skynet is the tree of goroutines, ten to a node, whose n leaves send their numbers up; n is a power of ten.
func skynet(n int) {
	c := make(chan int)
	go node(c, 0, n)
	check(<-c, n*(n-1)/2)
}

func node(up chan int, first, leaves int) {
	if leaves == 1 {
		up <- first
		return
	}
	c := make(chan int)
	share := leaves / 10
	for i := range 10 {
		go node(c, first+i*share, share)
	}
	sum := 0
	for range 10 {
		sum += <-c
	}
	up <- sum
}

// ring has a thousand goroutines, this one among them, hand a number round, each adding one. One operation is a hop.
func ring(n int) {
	laps := n / 1000
	link := func(from <-chan int, to chan<- int) {
		for range laps {
			to <- <-from + 1
		}
	}
	first := make(chan int)
	last := first
	for range 999 {
		to := make(chan int)
		go link(last, to)
		last = to
	}
	hops := 0
	for range laps {
		first <- hops + 1
		hops = <-last
	}
	check(hops, laps*1000)
}

func fib(n int) int {
	if n < 2 {
		return n
	}
	return fib(n-1) + fib(n-2)
}

// lateness is how late a goroutine wakes that sleeps for a millisecond, n times, beside one that never waits: the given
// one of the n delays in order, in ms.
func lateness(which float64) func(func(int), int) (float64, string) {
	return func(_ func(int), n int) (float64, string) {
		late := make([]float64, n)
		var done atomic.Bool
		go func() {
			for i := range late {
				due := time.Now().Add(time.Millisecond)
				time.Sleep(time.Millisecond)
				late[i] = float64(time.Since(due)) / 1e6
			}
			done.Store(true)
		}()
		for x := 0; !done.Load(); x++ {
		}
		slices.Sort(late)
		return late[int(math.Ceil(which*float64(n)))-1], "ms"
	}
}

// besideSleeper runs fn beside a goroutine that sleeps for a millisecond at a time.
func besideSleeper(fn func(int)) func(int) {
	return func(n int) {
		var done atomic.Bool
		go func() {
			for !done.Load() {
				time.Sleep(time.Millisecond)
			}
		}()
		fn(n)
		done.Store(true)
	}
}

func a(i, j int) float64 {
	return 1 / float64((i+j)*(i+j+1)/2+i+1)
}

func times(n int, x, y []float64, transposed bool) {
	for i := range n {
		sum := 0.0
		for j := range n {
			if transposed {
				sum += x[j] * a(j, i)
			} else {
				sum += x[j] * a(i, j)
			}
		}
		y[i] = sum
	}
}

// spectral is the spectral norm of an infinite matrix, of which n * n is looked at.
func spectral(n int) {
	u, v, w := make([]float64, n), make([]float64, n), make([]float64, n)
	for i := range u {
		u[i] = 1
	}
	for range 10 {
		times(n, u, w, false)
		times(n, w, v, true)
		times(n, v, w, false)
		times(n, w, u, true)
	}
	uv, vv := 0.0, 0.0
	for i := range u {
		uv += u[i] * v[i]
		vv += v[i] * v[i]
	}
	check(int(math.Sqrt(uv/vv)*1e5), 127422)
}

type body struct {
	x, y, z, vx, vy, vz, mass float64
}

// nbody is n steps of a sun and four planets.
func nbody(n int) {
	bodies := make([]body, 5)
	for i := range bodies {
		f := float64(i + 1)
		bodies[i] = body{f * 1.5, float64((i+1)%3 - 1), f / 7, 0.01 * f, -0.02 * f, 0.005, 0.03 / f}
	}
	bodies[0].mass = 39
	for range n {
		for i := range bodies {
			p := &bodies[i]
			for j := i + 1; j < len(bodies); j++ {
				q := &bodies[j]
				dx, dy, dz := p.x-q.x, p.y-q.y, p.z-q.z
				square := dx*dx + dy*dy + dz*dz
				pull := 0.001 / (square * math.Sqrt(square))
				p.vx, p.vy, p.vz = p.vx-dx*q.mass*pull, p.vy-dy*q.mass*pull, p.vz-dz*q.mass*pull
				q.vx, q.vy, q.vz = q.vx+dx*p.mass*pull, q.vy+dy*p.mass*pull, q.vz+dz*p.mass*pull
			}
		}
		for i := range bodies {
			p := &bodies[i]
			p.x, p.y, p.z = p.x+0.001*p.vx, p.y+0.001*p.vy, p.z+0.001*p.vz
		}
	}
}

// mandelbrot is n * n points of the Mandelbrot set.
func mandelbrot(n int) {
	inside, size := 0, float64(n)
	for y := range n {
		for x := range n {
			cr, ci, zr, zi, k := 3*float64(x)/size-2, 2*float64(y)/size-1, 0.0, 0.0, 0
			for k < 50 && zr*zr+zi*zi < 4 {
				zr, zi, k = zr*zr-zi*zi+cr, 2*zr*zi+ci, k+1
			}
			if k == 50 {
				inside++
			}
		}
	}
	if inside <= n*n/5 || inside >= n*n/3 {
		fail("wrong result")
	}
}

// preempted is what a benchmark takes with pre-emption, in percent of what it takes without: each time in a process of
// its own, the two by turns, the median of n ratios.
func preempted(name string) func(func(int), int) (float64, string) {
	took := func(debug string) float64 {
		command := exec.Command(os.Args[0], name)
		command.Env = append(os.Environ(), "GODEBUG="+debug)
		out, err := command.Output()
		fields := strings.Fields(string(out))
		if err != nil || len(fields) != 3 {
			fail(name + " failed")
		}
		ms, _ := strconv.ParseFloat(fields[1], 64)
		return ms
	}
	return func(_ func(int), n int) (float64, string) {
		ratios := make([]float64, n)
		for i := range ratios {
			without := took("asyncpreemptoff=1")
			ratios[i] = took("") / without * 100
		}
		slices.Sort(ratios)
		return ratios[n/2], "%"
	}
}

// parallelFib has n goroutines compute fib(32) each.
func parallelFib(n int) {
	c := make(chan int)
	for range n {
		go func() { c <- fib(32) }()
	}
	sum := 0
	for range n {
		sum += <-c
	}
	check(sum, n*2178309)
}

// What park leaves behind; in a global so that it is in use while it is measured.
var parked chan int

// park leaves n goroutines blocked in a receive. On one processor none is between its count and its receive when
// another runs.
func park(n int) {
	parked = make(chan int)
	started := 0
	wait := func() {
		started++
		<-parked
	}
	for range n {
		go wait()
	}
	for started < n {
		runtime.Gosched()
	}
}
