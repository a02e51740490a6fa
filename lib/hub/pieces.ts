import { type FileHandle, open, readFile } from 'node:fs/promises'

/** Bytes [begin, end) of a file. */
export type Stretch = readonly [begin: number, end: number]

/** In order, without overlap. */
export function joined(stretches: readonly Stretch[]): Stretch[] {
  const result: [number, number][] = []
  for (const [begin, end] of stretches.toSorted((a, b) => a[0] - b[0])) {
    const last = result.at(-1)
    if (last && begin <= last[1]) last[1] = Math.max(last[1], end)
    else result.push([begin, end])
  }
  return result
}

/** What is not among the stretches, in pieces of at most `most` bytes. */
export function missingPieces(present: readonly Stretch[], bytes: number, most: number): Stretch[] {
  const pieces: Stretch[] = []
  let at = 0
  for (const [begin, end] of [...joined(present), [bytes, bytes] as const]) {
    for (; at < begin; at = Math.min(begin, at + most)) pieces.push([at, Math.min(begin, at + most)])
    at = Math.max(at, end)
  }
  return pieces
}

/**
 * Which bytes of an unfinished file are there, in a file beside it: a line for each stretch, after its bytes. A line that a
 * kill cut short does not count.
 */
export class PieceJournal {
  private constructor(
    private readonly handle: FileHandle,
    private stretches: Stretch[],
  ) {}

  /** Opens it, or begins it with what is there already. */
  static async open(path: string, bytes: number): Promise<PieceJournal> {
    const text = await readFile(path, 'latin1').catch(() => '')
    const lines = text.split('\n').slice(0, -1)
    const stretches = lines.flatMap((line): Stretch[] => {
      const [, begin, end] = /^(\d+) (\d+)$/.exec(line) ?? []
      const stretch = [Number(begin), Number(end)] as const
      return stretch[0] < stretch[1] && stretch[1] <= bytes ? [stretch] : []
    })
    const handle = await open(path, 'a')
    if (text !== '' && !text.endsWith('\n')) await handle.appendFile('\n')
    return new PieceJournal(handle, joined(stretches))
  }

  get present(): readonly Stretch[] {
    return this.stretches
  }

  /** Bytes that are there from the start on. */
  get prefix(): number {
    const [first] = this.stretches
    return first?.[0] === 0 ? first[1] : 0
  }

  get bytes(): number {
    return this.stretches.reduce((sum, [begin, end]) => sum + end - begin, 0)
  }

  async add(begin: number, end: number): Promise<void> {
    if (begin === end) return
    this.stretches = joined([...this.stretches, [begin, end]])
    await this.handle.appendFile(`${begin} ${end}\n`)
  }

  async close(): Promise<void> {
    await this.handle.close()
  }
}
