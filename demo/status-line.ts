/**
 * What a person sees while the demo runs: notes, and below them one line that is written anew. Without a terminal the line is
 * written out now and then instead.
 */
import type { WriteStream } from 'node:tty'
import { styleText } from 'node:util'

/** Without a terminal, ms between two lines. */
const plainEveryMs = 5000

export class StatusLine {
  readonly #terminal: WriteStream | null
  readonly #print: (text: string) => void
  readonly #startMs = performance.now()
  #shown = ''
  #plainAtMs = Number.NEGATIVE_INFINITY

  /** `print` writes a whole line. */
  constructor(stream: WriteStream, print: (text: string) => void) {
    this.#terminal = stream.isTTY && process.env.TERM !== 'dumb' ? stream : null
    this.#print = print
  }

  readonly note = (text: string): void => {
    this.#erase()
    this.#print(text)
    this.#draw()
  }

  /** A step of what is going on, with the time since the start. */
  readonly step = (text: string): void => this.note(`${this.#elapsed()}  ${text}`)

  /** The fields of the line, the most important first: what does not fit is left out. */
  show(fields: readonly string[]): void {
    if (this.#terminal === null) {
      if (performance.now() - this.#plainAtMs < plainEveryMs) return
      this.#plainAtMs = performance.now()
      this.#print(`${this.#elapsed()}  ${fields.join(', ')}`)
      return
    }
    this.#erase()
    this.#shown = fitted([this.#elapsed(), ...fields], (this.#terminal.columns || 80) - 1)
    this.#draw()
  }

  end(): void {
    this.#erase()
    this.#shown = ''
  }

  #erase(): void {
    if (this.#terminal !== null && this.#shown !== '') this.#terminal.write('\r\x1b[K')
  }

  #draw(): void {
    if (this.#terminal !== null && this.#shown !== '')
      this.#terminal.write(styleText('cyan', this.#shown, { stream: this.#terminal }))
  }

  #elapsed(): string {
    const seconds = Math.floor((performance.now() - this.#startMs) / 1000)
    return `${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, '0')}`
  }
}

/** As wide as it may be, then close together, then without the last fields. */
export function fitted(fields: readonly string[], width: number): string {
  const [wide, narrow] = [fields.join('  '), fields.join(' ')]
  if (wide.length <= width) return wide
  return narrow.length <= width || fields.length === 1 ? narrow : fitted(fields.slice(0, -1), width)
}
