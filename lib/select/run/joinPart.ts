import { createHash } from 'node:crypto'
import { isDeepStrictEqual } from 'node:util'
import { readRows } from '../../data/readRows.js'
import { isMapping } from '../../validate.js'
import { cellOf, plainCell } from '../cell.js'
import type { JoinRecord } from '../funnel.js'
import type { Rejection } from '../step.js'
import type { OpenPart } from './openSelection.js'
import { Spill } from './spill.js'

type Columns = Record<string, unknown>

/** As many places of each kind are told. */
const maxPlaces = 5

interface Entry {
  offset: number
  isAmbiguous: boolean
  isUsed: boolean
}

/** The rows of a part by their keys. The rows are on the disk; in memory is a hash of each key. */
export class JoinedPart {
  private readonly entries = new Map<string, Entry>()
  private readonly places: string[] = []
  private rows = 0
  private withoutKey = 0
  private repeated = 0

  private constructor(
    private readonly source: string,
    private readonly part: OpenPart,
    private readonly spill: Spill<Columns>,
  ) {}

  /**
   * Reads the part.
   *
   * @param beside - a path in the directory whose disk it shall use
   * @throws ERR_DATA, ERR_FILE_READ, ERR_OUTPUT_WRITE, ERR_DISK_FULL; the signal's reason after an abort
   */
  static async open(
    source: string,
    part: OpenPart,
    { beside, signal, onBytes }: { beside: string; signal: AbortSignal; onBytes: (bytes: number) => void },
  ): Promise<JoinedPart> {
    const joined = new JoinedPart(source, part, await Spill.create(beside))
    try {
      for (const file of part.files) {
        let before = 0
        for await (const portion of readRows(file, part.columns)) {
          signal.throwIfAborted()
          for (const { row, line, value } of portion) {
            await joined.add(value, `${file.path}, ${line === undefined ? `row ${row}` : `line ${line}`}`)
          }
          const { bytesRead } = portion.at(-1) ?? { bytesRead: before }
          onBytes(bytesRead - before)
          before = bytesRead
        }
      }
      return joined
    } catch (error) {
      await joined.close()
      throw error
    }
  }

  /** The row that belongs to a row of the source, or why there is none. */
  async find(columns: Readonly<Columns>): Promise<{ columns: Columns } | Rejection> {
    const { name, on } = this.part
    const key = this.keyOf(columns, on.source)
    if (key === undefined) return { reason: 'join-without-key', detail: `${name}: ${on.source} has no value` }
    const entry = this.entries.get(key)
    if (!entry) return { reason: 'join-missing', detail: `${name} has no row with this ${on.part}` }
    entry.isUsed = true
    if (entry.isAmbiguous) {
      return { reason: 'join-ambiguous', detail: `${name} has several rows with this ${on.part}, which differ` }
    }
    return { columns: await this.spill.at(entry.offset) }
  }

  record(): JoinRecord {
    const { rows, withoutKey, repeated, places } = this
    const unused = [...this.entries.values()].filter(({ isUsed }) => !isUsed).length
    return { source: this.source, part: this.part.name, rows, withoutKey, repeated, unused, places }
  }

  async close(): Promise<void> {
    await this.spill.close()
  }

  private async add(value: unknown, place: string): Promise<void> {
    this.rows++
    const row = isMapping(value) ? (plainCell(value) as Columns) : undefined
    const key = row && this.keyOf(row, this.part.on.part)
    if (!row || key === undefined) {
      if (this.withoutKey++ < maxPlaces) this.places.push(`${place}: no ${this.part.on.part}`)
      return
    }
    const columns = Object.fromEntries(this.part.columns.flatMap((name) => (name in row ? [[name, row[name]]] : [])))
    const before = this.entries.get(key)
    if (!before) {
      this.entries.set(key, { offset: await this.spill.add(columns), isAmbiguous: false, isUsed: false })
      return
    }
    // Rows that say the same are one.
    if (isDeepStrictEqual(await this.spill.at(before.offset), columns)) return
    before.isAmbiguous = true
    if (this.repeated++ < maxPlaces) this.places.push(`${place}: ${this.part.on.part} as an earlier row has it`)
  }

  private keyOf(columns: Readonly<Columns>, name: string): string | undefined {
    const value = cellOf(columns, name)
    if (value === undefined || typeof value === 'object') return undefined
    const text = this.part.without ? String(value).replace(this.part.without, '') : String(value)
    const key = text.trim()
    return key === '' ? undefined : createHash('sha256').update(key).digest('base64url').slice(0, 22)
  }
}
