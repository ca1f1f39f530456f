package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"time"
)

// mutated sends 20,000 packets that were valid once, each behind a valid one, on connections that are made anew
// when they are cut off.
func mutated(ctx context.Context, a *attacker) error {
	const clients, each = 100, 200
	seed := a.dice.Uint64()
	crowd(ctx, clients, clients, func(i int) {
		dice := rand.New(rand.NewPCG(seed, uint64(i))) //nolint:gosec // dice, not secrets
		for sent := 0; sent < each && ctx.Err() == nil; {
			p, err := a.dial(ctx, 2+i, a.mqtt)
			if err != nil {
				return
			}
			if dice.IntN(4) > 0 { // else the CONNECT too is mutated
				_, _ = p.Write(valid(dice, 0))
			}
			for n, alive := 0, true; alive && sent < each; n++ {
				sent++
				_, err := p.Write(append(mutate(dice, valid(dice, n)), pingreq...))
				alive = err == nil && p.answers()
			}
			_ = p.Close()
		}
	})
	return nil
}

// answers reads what comes, and is false when nothing does for some time: the connection has ended, or the other
// side waits for the rest of a packet.
func (p *peer) answers() bool {
	_ = p.SetReadDeadline(time.Now().Add(60 * time.Millisecond))
	_, err := p.in.ReadByte()
	_, _ = p.in.Discard(p.in.Buffered())
	return err == nil
}

// valid returns a packet of MQTT 3.1.1 or 5, a CONNECT for n = 0.
func valid(dice *rand.Rand, n int) []byte {
	version := byte(4 + dice.IntN(2))
	var props []byte
	if version == v5 {
		props = properties(userProperty("a", "b"), topicAlias(1))
	}
	id := 1 + dice.IntN(4)
	if n == 0 {
		h := hello{id: fmt.Sprintf("mutant-%d", dice.IntN(50)), version: version, keep: dice.IntN(2) == 0, keepalive: dice.IntN(65536)}
		if dice.IntN(2) == 0 {
			h.will = &will{topic: "attack/will", payload: "gone"}
		}
		return h.bytes()
	}
	switch dice.IntN(10) {
	case 0:
		return subscribe(id, "attack/+/x", "#")
	case 1:
		return packet(unsubscribeByte, u16(id), text("attack/+/x"))
	case 2:
		return pubrel(id)
	case 3:
		return pingreq
	case 4:
		return packet(disconnectByte, []byte{0x04, 0})
	case 5:
		return packet(0xf0, []byte{0x18, 0}) // AUTH
	case 6:
		return packet(byte(0x40+dice.IntN(4)<<4), u16(id)) // PUBACK, PUBREC, …
	default:
		return publish("attack/"+strings.Repeat("x", dice.IntN(20)), byte(dice.IntN(3)), id, props, strings.Repeat("y", dice.IntN(300)))
	}
}

// mutate changes some bytes of b: flips bits, cuts, repeats, and makes lengths wrong.
func mutate(dice *rand.Rand, b []byte) []byte {
	b = append([]byte(nil), b...)
	for range 1 + dice.IntN(3) {
		at := dice.IntN(len(b))
		switch dice.IntN(6) {
		case 0:
			b[at] ^= 1 << dice.IntN(8)
		case 1:
			b[at] = byte(dice.Uint32())
		case 2:
			b = b[:at+1]
		case 3:
			b = append(b[:at], append([]byte{0xff, 0xff, 0xff, 0x7f}, b[at:]...)...)
		case 4:
			b = append(b, b[at:]...)
		default:
			b[min(1, len(b)-1)] = byte(dice.IntN(256))
		}
	}
	return b
}
