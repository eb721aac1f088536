#!/usr/bin/env python3
"""An independent decoder of batch content, written from the layout comment of shared/src/batch/codec.ts alone.

decode.py CONTENT [BODY]: CONTENT is the inflated content of a batch; with BODY, the whole body, its outside is checked too. Prints the batch as JSON:
times as integers, doubles as the 16 hex digits of their bits, so that nothing is rounded on the way.
"""
import json, struct, sys, zlib

class Stream:
    def __init__(self, data):
        self.data, self.at = data, 0

    def take(self, n):
        assert self.at + n <= len(self.data), "ends early"
        self.at += n
        return self.data[self.at - n : self.at]

    def u8(self):
        return self.take(1)[0]

    def uvarint(self):
        byte = self.u8()
        return byte if byte < 0x80 else (byte & 0x7F) + (self.uvarint() << 7)

    def svarint(self):
        return unzigzag(self.uvarint())

    def string(self):
        return self.take(self.uvarint()).decode("utf-8")

    def left(self):
        return len(self.data) - self.at

    def bits(self):
        while True:
            byte = self.u8()
            for i in range(8):
                yield byte >> i & 1

def number(bits, width):
    return sum(next(bits) << i for i in range(width))

def rice(bits, k):
    q = 0
    while q < 24 and next(bits):
        q += 1
    return (q << k) + number(bits, k) if q < 24 else number(bits, 53)

def unzigzag(z):
    return -((z + 1) // 2) if z & 1 else z // 2

def runs(data, n):
    out = []
    while len(out) < n:
        value = data.svarint()
        out += [value] * data.uvarint()
    return out

def ints(heads, data, n):
    head, base = heads.u8(), heads.svarint()
    model, packing, code = head & 3, head >> 2 & 3, head >> 4
    if model == 0:
        return [base] * n
    tick = heads.uvarint() if code == 15 else 10**code
    step = heads.svarint()
    width = heads.u8() if packing in (1, 3) else 0
    count = n if model == 1 else n - 1
    bits = data.bits()
    if packing == 0:
        r = [data.svarint() for _ in range(count)]
    elif packing == 1:
        r = [unzigzag(rice(bits, width)) for _ in range(count)]
    elif packing == 2:
        r = runs(data, count)
    else:
        r = [number(bits, width) for _ in range(count)]
    if model == 1:
        return [base + tick * (i * step + r[i]) for i in range(n)]
    x, slope = [base], step
    for residual in r:
        slope = slope + residual if model == 3 else step + residual
        x.append(x[-1] + tick * slope)
    return x

def numbers(heads, data, n):
    form = heads.u8()
    if form == 15:
        high, low = ints(heads, data, n), ints(heads, data, n)
        return [h << 32 | l for h, l in zip(high, low)]
    doubles = [m / 10 ** (form & 15) for m in ints(heads, data, n)]
    bits = [struct.unpack("<Q", struct.pack("<d", double))[0] for double in doubles]
    if form & 16:
        bits = [b + nudge for b, nudge in zip(bits, ints(heads, data, n))]
    index = -1
    for _ in range(heads.uvarint() if form & 32 else 0):
        index += 1 + data.uvarint()
        bits[index] = struct.unpack("<Q", data.take(8))[0]
    return bits

def values(heads, data, strings, kind, n):
    if kind == 0:
        return [{"bits": f"{b:016x}"} for b in numbers(heads, data, n)]
    if kind == 1:
        return [i == 1 for i in ints(heads, data, n)]
    if kind == 2:
        return [strings[i] for i in ints(heads, data, n)]
    kinds = ints(heads, data, n)
    parts = [iter(values(heads, data, strings, k, kinds.count(k)) if k in kinds else []) for k in (0, 1, 2)]
    return [next(parts[k]) for k in kinds]

def header(s):
    identity = {"agentId": s.string(), "epoch": s.uvarint(), "seq": s.uvarint()}
    series, readings = s.uvarint(), s.uvarint()
    x = s.take(16).hex() if s.u8() == 1 else None
    boot = {"bootId": "-".join((x[:8], x[8:12], x[12:16], x[16:20], x[20:])) if x else s.string()}
    clocks = {"monotonicUs": s.svarint(), "wallUs": s.svarint()}
    counters = {name: s.uvarint() for name in "accepted stored suppressed deadLettered evicted maybeDuplicate".split()}
    loss = lambda: {name: s.uvarint() for name in "epoch fromSeq toSeq readings".split()}
    losses = [{**loss(), "exact": s.u8() == 1, "reason": s.string()} for _ in range(s.uvarint())]
    return {**identity, **boot, **clocks, "counters": counters, "losses": losses}, series, readings

def columns(s, strings, series):
    heads, data = Stream(s.take(s.uvarint())), Stream(s.data[s.at :])
    out = []
    for device, metric, unit, n, kind, back, origin in zip(*[ints(heads, data, series) for _ in range(7)] if series else []):
        times = out[-back]["tsUs"] if back else [origin + t for t in ints(heads, data, n)]
        name = {"device": strings[device], "metric": strings[metric], "unit": strings[unit]}
        read = values(heads, data, strings, kind & 3, n)
        out.append({"series": name, "tsUs": times, "values": read, "quality": ints(heads, data, n) if kind & 4 else None})
    assert heads.left() == data.left() == 0, "bytes left over"
    return out

def decode(content):
    sections = Stream(content)
    parts = [(sections.u8(), Stream(sections.take(sections.uvarint()))) for _ in range(3)]
    (one, first), (two, texts), (three, third) = parts
    assert (one, two, three) == (1, 2, 3) and sections.left() == 0, "not three sections in order"
    head, series, readings = header(first)
    read = columns(third, [texts.take(n).decode("utf-8") for n in [texts.uvarint() for _ in range(texts.uvarint())]], series)
    assert sum(len(c["tsUs"]) for c in read) == readings, "readings do not add up"
    return {"header": head, "columns": read}

if __name__ == "__main__":
    content = open(sys.argv[1], "rb").read()
    if len(sys.argv) > 2:
        body = open(sys.argv[2], "rb").read()
        assert body[:3] == b"TRB" and body[3] == 1, "magic or version"
        assert zlib.crc32(content + body[8:]) == struct.unpack("<I", body[4:8])[0], "CRC-32"
    print(json.dumps(decode(content)))
