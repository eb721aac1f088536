/**
 * One reader of server-sent events (https://html.spec.whatwg.org/multipage/server-sent-events.html).
 *
 * Bounded: what the reader has not taken yet is held until it is more than `maxBacklog`; then the reader is cut off, because events
 * left out in silence would leave a page wrong. A browser comes back alone and begins anew.
 */

/** Bytes that one reader may be behind; one event more is held at most. */
export const maxBacklog = 1024 * 1024

/** An event as it travels; made once for all readers. */
export function eventBytes(event: string, data: unknown): Uint8Array {
  // JSON has no line breaks, so that it is one `data` line.
  return Buffer.from(`event: ${event}\ndata: ${JSON.stringify(data)}\n\n`)
}

/** Keeps what stands between from closing a quiet connection, and shows a reader one that is dead without having been closed. */
export const heartbeat: Uint8Array = eventBytes('beat', {})

export class EventStream {
  readonly body: ReadableStream<Uint8Array>
  readonly #onGone: () => void
  #controller: ReadableStreamDefaultController<Uint8Array> | null = null

  /** `onGone`: nothing more can be sent, for whatever reason. */
  constructor(onGone: () => void) {
    this.#onGone = onGone
    this.body = new ReadableStream<Uint8Array>(
      {
        start: controller => {
          this.#controller = controller
        },
        cancel: () => this.#gone(),
      },
      new ByteLengthQueuingStrategy({ highWaterMark: maxBacklog }),
    )
  }

  /** False when the reader was too far behind, or has gone. */
  send(bytes: Uint8Array): boolean {
    if (this.#controller === null || (this.#controller.desiredSize ?? 0) <= 0) return false
    this.#controller.enqueue(bytes)
    return true
  }

  /** After what is on its way. */
  end(): void {
    this.#controller?.close()
    this.#gone()
  }

  #gone(): void {
    if (this.#controller === null) return
    this.#controller = null
    this.#onGone()
  }
}
