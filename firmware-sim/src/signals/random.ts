/**
 * Seeded randomness: the generator sfc32 (C. Doty-Humphrey, PractRand), 128 bits of state, passes PractRand and BigCrush.
 *
 * A stream is named by a seed and a label, so that every device, signal and fault draws from a stream of its own: adding a fault
 * or a device changes no other device's values. The same seed gives the same values on every machine.
 */
export interface Random {
  /** Uniform in [0, 1), 32 bits of it. */
  uniform(): number
  /** Normal with mean 0 and standard deviation 1. */
  normal(): number
  /** A whole number in [low, high]. */
  integer(low: number, high: number): number
  /** True with this probability. */
  chance(probability: number): boolean
}

/** The stream of that name. */
export function createRandom(seed: string, label = ''): Random {
  const next = sfc32(`${seed}\n${label}`)
  const uniform = () => next() / 2 ** 32
  return {
    uniform,
    // Box and Muller 1958; 1 − u is never 0.
    normal: () => Math.sqrt(-2 * Math.log(1 - uniform())) * Math.cos(2 * Math.PI * uniform()),
    integer: (low, high) => low + Math.floor(uniform() * (high - low + 1)),
    chance: probability => uniform() < probability,
  }
}

function sfc32(name: string): () => number {
  let [a, b, c] = [fnv1a(name, 1), fnv1a(name, 2), fnv1a(name, 3)]
  let counter = 1
  const next = () => {
    const t = (a + b + counter) | 0
    counter = (counter + 1) | 0
    a = b ^ (b >>> 9)
    b = (c + (c << 3)) | 0
    c = ((c << 21) | (c >>> 11)) + t
    c |= 0
    return t >>> 0
  }
  // Neighbouring names start far apart only after the state has been stirred.
  for (let i = 0; i < 15; i++) next()
  return next
}

/** 32-bit FNV-1a over UTF-16 units, begun with a salt. */
function fnv1a(text: string, salt: number): number {
  let hash = Math.imul(0x811c9dc5 ^ salt, 0x01000193)
  for (let i = 0; i < text.length; i++) hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193)
  return hash | 0
}
