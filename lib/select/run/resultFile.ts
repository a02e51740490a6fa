import type { SchemaElement } from 'hyparquet'
import { ByteWriter, ParquetWriter } from 'hyparquet-writer'
import { writeJson } from '../../data/parseJson.js'
import type { NewFile } from '../../files/newFile.js'
import { version } from '../../version.js'
import { Spill } from './spill.js'

/** A conversation of the result. */
export interface ResultRow {
  messages: { role: 'system' | 'user' | 'assistant'; content: string }[]
  /** Where it comes from: row is that of the file, from 0; answer that in the row's list, from 0. */
  origin: { source: string; file: string; row: number; answer: number }
  reference: string | undefined
  verdict: string | undefined
  /** Values of the columns that are kept, in their order. */
  kept: unknown[]
}

/** Takes rows in their order and writes them to a file. */
export interface ResultWriter {
  add(row: ResultRow): Promise<void>
  /** Writes what had to wait; `onRow` is called for each row of that. */
  finish(onRow: (written: number, total: number) => void): Promise<void>
  close(): Promise<void>
}

const linesAtOnce = 2 ** 20

/** A JSON object in each line. */
export class JsonLinesResult implements ResultWriter {
  private waiting: string[] = []
  private characters = 0

  constructor(
    private readonly file: NewFile,
    private readonly keep: readonly string[],
  ) {}

  async add({ messages, origin, reference, verdict, kept }: ResultRow): Promise<void> {
    const keptCells = this.keep.map((name, i) => [name, kept[i] ?? null] as const)
    const all = [...Object.entries({ messages, origin, reference, verdict }), ...keptCells]
    // Keys like "1" would come first in an object.
    const line = writeJson(new Map(all.filter(([, value]) => value !== undefined)))
    this.waiting.push(line, '\n')
    this.characters += line.length
    if (this.characters >= linesAtOnce) await this.flush()
  }

  async finish(): Promise<void> {
    await this.flush()
  }

  async close(): Promise<void> {}

  private async flush(): Promise<void> {
    const bytes = Buffer.from(this.waiting.join(''))
    this.waiting = []
    this.characters = 0
    await this.file.append(bytes)
  }
}

/** Rows of a group: as many as Hugging Face's writer takes, fewer where they are long. */
const [groupRows, groupCharacters] = [1000, 2 ** 24]

/** Parquet, Snappy. What type a kept column has is known after the last row: until then rows wait on the disk, where any is kept. */
export class ParquetResult implements ResultWriter {
  private readonly kinds: Set<CellKind>[]
  private readonly bytes = new ByteWriter()
  private writer: ParquetWriter | undefined
  private group: ResultRow[] = []
  private characters = 0
  private rows = 0

  private constructor(
    private readonly file: NewFile,
    private readonly keep: readonly string[],
    private readonly spill: Spill<ResultRow> | undefined,
  ) {
    this.kinds = keep.map(() => new Set())
  }

  static async create(file: NewFile, keep: readonly string[]): Promise<ParquetResult> {
    return new ParquetResult(file, keep, keep.length > 0 ? await Spill.create(file.path) : undefined)
  }

  async add(row: ResultRow): Promise<void> {
    this.rows++
    if (!this.spill) return await this.push(row)
    for (const [i, kinds] of this.kinds.entries()) {
      const kind = kindOf(row.kept[i])
      if (kind) kinds.add(kind)
    }
    await this.spill.add(row)
  }

  async finish(onRow: (written: number, total: number) => void): Promise<void> {
    if (this.spill) {
      let written = 0
      for await (const row of this.spill.all()) {
        await this.push(row)
        onRow(++written, this.rows)
      }
    }
    await this.writeGroup()
    this.opened().finish()
    await this.flush()
  }

  async close(): Promise<void> {
    await this.spill?.close()
  }

  private async push(row: ResultRow): Promise<void> {
    this.group.push(row)
    for (const { content } of row.messages) this.characters += content.length
    if (this.group.length >= groupRows || this.characters >= groupCharacters) await this.writeGroup()
  }

  private opened(): ParquetWriter {
    this.writer ??= new ParquetWriter({
      writer: this.bytes,
      schema: this.schema(),
      codec: 'SNAPPY',
      createdBy: `branchmerge ${version}`,
    })
    return this.writer
  }

  private async writeGroup(): Promise<void> {
    if (this.group.length === 0) return
    const rows = this.group
    this.group = []
    this.characters = 0
    const column = (name: string, data: unknown[]) => ({ name, data, offsetIndex: false })
    const origins = rows.map(({ origin }) => ({ ...origin, row: BigInt(origin.row) }))
    await this.opened().write({
      columnData: [
        {
          ...column(
            'messages',
            rows.map(({ messages }) => messages),
          ),
          statistics: false,
        },
        column('origin', origins),
        column(
          'reference',
          rows.map(({ reference }) => reference),
        ),
        column(
          'verdict',
          rows.map(({ verdict }) => verdict),
        ),
        ...this.keep.map((name, i) => {
          const write = writerOf(this.kinds[i] as Set<CellKind>)
          return column(
            name,
            rows.map(({ kept }) => (isNone(kept[i]) ? undefined : write(kept[i]))),
          )
        }),
      ],
      rowGroupSize: groupRows,
    })
    await this.flush()
  }

  private async flush(): Promise<void> {
    await this.file.append(this.bytes.getBytes())
    this.bytes.index = 0
  }

  private schema(): SchemaElement[] {
    const text = (name: string): SchemaElement => ({
      name,
      type: 'BYTE_ARRAY',
      converted_type: 'UTF8',
      repetition_type: 'OPTIONAL',
    })
    const optional = { repetition_type: 'OPTIONAL' } as const
    return [
      { name: 'schema', num_children: 4 + this.keep.length },
      { name: 'messages', ...optional, converted_type: 'LIST', num_children: 1 },
      { name: 'list', repetition_type: 'REPEATED', num_children: 1 },
      { name: 'element', ...optional, num_children: 2 },
      text('role'),
      text('content'),
      { name: 'origin', ...optional, num_children: 4 },
      text('source'),
      text('file'),
      { name: 'row', type: 'INT64', ...optional },
      { name: 'answer', type: 'INT32', ...optional },
      text('reference'),
      text('verdict'),
      ...this.keep.map(
        (name, i): SchemaElement => ({
          name,
          ...optional,
          ...typeOf(this.kinds[i] as Set<CellKind>),
        }),
      ),
    ]
  }
}

type CellKind = 'text' | 'boolean' | 'integer' | 'number' | 'json'

const isNone = (value: unknown): boolean => value === undefined || value === null

function kindOf(value: unknown): CellKind | undefined {
  if (isNone(value)) return undefined
  if (typeof value === 'string') return 'text'
  if (typeof value === 'boolean') return 'boolean'
  if (typeof value === 'number') return Number.isSafeInteger(value) && !Object.is(value, -0) ? 'integer' : 'number'
  if (typeof value === 'bigint') return BigInt.asIntN(64, value) === value ? 'integer' : 'json'
  return 'json'
}

/** The one kind of a column; integers among numbers are numbers; what is mixed otherwise is JSON. */
function oneKind(kinds: ReadonlySet<CellKind>): CellKind {
  const [first = 'text'] = kinds
  if (kinds.size <= 1) return first
  return [...kinds].every((kind) => kind === 'integer' || kind === 'number') ? 'number' : 'json'
}

/** JSON stands in a column of texts: the writer's own type for it would round integers beyond 2^53. */
function typeOf(kinds: ReadonlySet<CellKind>): Pick<SchemaElement, 'type' | 'converted_type'> {
  switch (oneKind(kinds)) {
    case 'boolean':
      return { type: 'BOOLEAN' }
    case 'integer':
      return { type: 'INT64' }
    case 'number':
      return { type: 'DOUBLE' }
    default:
      return { type: 'BYTE_ARRAY', converted_type: 'UTF8' }
  }
}

function writerOf(kinds: ReadonlySet<CellKind>): (value: unknown) => unknown {
  switch (oneKind(kinds)) {
    case 'integer':
      return (value) => BigInt(value as number | bigint)
    case 'number':
      return Number
    case 'json':
      return (value) => writeJson(value)
    default:
      return (value) => value
  }
}
