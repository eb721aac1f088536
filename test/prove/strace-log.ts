/**
 * Reads what `strace -f -y -s N -o FILE` wrote, as one list of system calls with the line at which each began and ended: a call
 * that another thread interrupted stands on two lines, `<unfinished ...>` and `<... name resumed>`.
 */
export interface SystemCall {
  readonly name: string
  /** What `-y` prints behind the descriptor: a path, or `socket:[inode]`. */
  readonly target: string
  /** The first string argument, unescaped; as long as `-s` allows. */
  readonly data: Buffer
  readonly began: number
  readonly ended: number
  /** The return value; −1 for an error. */
  readonly result: number
}

const whole = /^(\d+)\s+(\w+)\((.*)\)\s+= (-?\d+)/
const unfinished = /^(\d+)\s+(\w+)\((.*?)\s*<unfinished \.\.\.>$/
const resumed = /^(\d+)\s+<\.\.\. (\w+) resumed>(.*)\)\s+= (-?\d+)/

export function parseStrace(text: string): SystemCall[] {
  const calls: SystemCall[] = []
  const open = new Map<string, { args: string; began: number }>()
  for (const [at, line] of text.split('\n').entries()) {
    const simple = whole.exec(line)
    const begin = unfinished.exec(line)
    const end = resumed.exec(line)
    if (simple) calls.push(call(simple[2]!, simple[3]!, at, at, Number(simple[4])))
    else if (begin) open.set(`${begin[1]} ${begin[2]}`, { args: begin[3]!, began: at })
    else if (end) {
      const started = open.get(`${end[1]} ${end[2]}`)
      open.delete(`${end[1]} ${end[2]}`)
      if (started) calls.push(call(end[2]!, started.args + end[3], started.began, at, Number(end[4])))
    }
  }
  return calls.sort((a, b) => a.began - b.began)
}

function call(name: string, args: string, began: number, ended: number, result: number): SystemCall {
  return {
    name,
    target: /^\d+<([^>]*)>/.exec(args)?.[1] ?? '',
    data: unescaped(/"((?:[^"\\]|\\.)*)"/.exec(args)?.[1] ?? ''),
    began,
    ended,
    result,
  }
}

const letters: Readonly<Record<string, number>> = { n: 10, t: 9, r: 13, v: 11, f: 12, b: 8, a: 7 }

/** C escapes as strace prints them: `\n`, `\"`, `\\`, `\0`, `\17`, `\377`. */
function unescaped(text: string): Buffer {
  const bytes: number[] = []
  for (const [, octal, letter, plain] of text.matchAll(/\\([0-7]{1,3})|\\(.)|([^\\])/gs)) {
    if (octal !== undefined) bytes.push(Number.parseInt(octal, 8))
    else if (letter !== undefined) bytes.push(letters[letter] ?? letter.charCodeAt(0))
    else bytes.push(plain!.charCodeAt(0))
  }
  return Buffer.from(bytes)
}
