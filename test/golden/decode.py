#!/usr/bin/env python3
"""An independent decoder of batch content, written from the layout comment of shared/src/batch/codec.ts alone.

decode.py CONTENT BODY: CONTENT is the inflated content of a batch, BODY the whole body, whose outside is checked. Reads layouts 1 and 2. Prints the batch
as JSON: times as integers, doubles as the 16 hex digits of their bits, so that nothing is rounded on the way, aggregates as those of their bytes.
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

def header(s, layout):
    identity = {"agentId": s.string(), "epoch": s.uvarint(), "seq": s.uvarint()}
    series, readings = s.uvarint(), s.uvarint()
    x = s.take(16).hex() if s.u8() == 1 else None
    boot = {"bootId": "-".join((x[:8], x[8:12], x[12:16], x[16:20], x[20:])) if x else s.string()}
    clocks = {"monotonicUs": s.svarint(), "wallUs": s.svarint()}
    counters = {name: s.uvarint() for name in "accepted stored suppressed deadLettered evicted maybeDuplicate".split()}
    loss = lambda: {name: s.uvarint() for name in "epoch fromSeq toSeq readings".split()}
    losses = [{**loss(), "exact": s.u8() == 1, "reason": s.string()} for _ in range(s.uvarint())]
    counters["folded"], counters["classes"], done, runs, aggregates = 0, [], [], 0, 0
    if layout > 1:
        counters["folded"] = s.uvarint()
        names = "accepted stored folded suppressed evicted".split()
        for _ in range(s.uvarint()):
            counters["classes"].append({"class": ("raw", "aggregate", "alarm")[s.u8()], **{name: s.uvarint() for name in names}})
        done = [{"id": s.uvarint(), "readings": s.uvarint(), "complete": s.u8() == 1} for _ in range(s.uvarint())]
        runs, aggregates = s.uvarint(), s.uvarint()
    assert s.left() == 0, "header too long"
    read = {**identity, **boot, **clocks, "counters": counters, "losses": losses, "recallsDone": done}
    return read, series, readings, runs, aggregates

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

def uvarint(value):
    return bytes([value]) if value < 0x80 else bytes([value & 0x7F | 0x80]) + uvarint(value >> 7)

def svarint(value):
    return uvarint(2 * value if value >= 0 else -2 * value - 1)

def aggregates(s, strings, series, total):
    heads, data = Stream(s.take(s.uvarint())), Stream(s.data[s.at :])
    described = list(zip(*[ints(heads, data, series) for _ in range(6)]))
    rows = list(zip(*[ints(heads, data, total) for _ in range(9)]))
    doubles = [b for one in described for b in numbers(heads, data, 4 * one[5])]
    packed = []
    for i, (start, _, form, n, first, span, order, last_order, length) in enumerate(rows):
        values = b"".join(struct.pack("<Q", b) for b in doubles[4 * i : 4 * i + 4])
        times = svarint(start + first) + uvarint(span) + svarint(order) + svarint(last_order)
        packed.append(bytes([form >> 8, form & 255]) + uvarint(n) + values + times + data.take(length))
    assert heads.left() == data.left() == 0, "bytes left over"
    out, at = [], 0
    for device, metric, unit, size, hop, n in described:
        name = {"device": strings[device], "metric": strings[metric], "unit": strings[unit]}
        mine = range(at, at + n)
        columns = {"startUs": [rows[i][0] for i in mine], "revision": [rows[i][1] for i in mine]}
        out.append({"series": name, "sizeUs": size, "hopUs": hop, **columns, "data": [packed[i].hex() for i in mine]})
        at += n
    assert at == total, "aggregates do not add up"
    return out

def decode(content, layout):
    sections = Stream(content)
    parts = {}
    while sections.left() > 0:
        kind = sections.u8()
        assert kind == len(parts) + 1, "sections out of order"
        parts[kind] = Stream(sections.take(sections.uvarint()))
    head, series, readings, runs, total = header(parts[1], layout)
    assert len(parts) == (4 if total else 3), "a section too few or too many"
    texts = parts[2]
    strings = [texts.take(n).decode("utf-8") for n in [texts.uvarint() for _ in range(texts.uvarint())]]
    read = columns(parts[3], strings, series)
    assert sum(len(c["tsUs"]) for c in read) == readings, "readings do not add up"
    return {"header": head, "columns": read, "aggregates": aggregates(parts[4], strings, runs, total) if total else []}

if __name__ == "__main__":
    content, body = (open(name, "rb").read() for name in sys.argv[1:3])
    assert body[:3] == b"TRB" and body[3] in (1, 2), "magic or version"
    assert zlib.crc32(content + body[8:]) == struct.unpack("<I", body[4:8])[0], "CRC-32"
    print(json.dumps(decode(content, body[3])))
