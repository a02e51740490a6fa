/** Where progress is drawn: process.stderr, or a stand-in of a test. */
export interface ProgressStream {
  isTTY?: boolean | undefined
  columns?: number | undefined
  write(text: string): unknown
}

/** A quick run shows nothing; a terminal is redrawn ten times a second; a log gets a line every ten seconds. */
const silentSeconds = 1
const redrawSeconds = 0.1
const logSeconds = 10

/**
 * Shows how far something is: a bar on a terminal, now and then a line elsewhere.
 *
 * @param describe - which part is done, 0 to 1, and words for it, at a time in seconds
 */
export function progressLine<P>(
  stream: ProgressStream,
  describe: (progress: P, now: number) => { fraction: number; text: string },
  clock: () => number,
): { update(progress: P): void; end(): void } {
  const interval = stream.isTTY ? redrawSeconds : logSeconds
  let next = clock() + (stream.isTTY ? silentSeconds : logSeconds)
  let drawn = false
  return {
    update(progress) {
      const now = clock()
      if (now < next) return
      next = now + interval
      drawn = true
      const { fraction, text } = describe(progress, now)
      stream.write(stream.isTTY ? `\r\x1b[K${bar(fraction, text, stream.columns ?? 80)}` : `${text}\n`)
    },
    end() {
      if (drawn && stream.isTTY) stream.write('\r\x1b[K')
    },
  }
}

/** The text with as much of a bar before it as fits in one line; a wrapped line could not be redrawn. */
function bar(fraction: number, text: string, columns: number): string {
  const width = Math.min(24, columns - text.length - 4)
  if (width < 4) return text.slice(0, columns - 1)
  const full = Math.round(width * Math.min(1, fraction))
  return `[${'='.repeat(full)}${' '.repeat(width - full)}] ${text}`
}
