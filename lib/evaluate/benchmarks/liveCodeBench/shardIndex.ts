import { createHash } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { mkdir, open, readFile, realpath, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { BranchMergeError } from '../../../errors.js'
import { readFailure } from '../../../files/readSmallFile.js'
import { userCache } from '../../../files/userCache.js'
import { writeWhole } from '../../../files/writeWhole.js'
import { formatBytes } from '../../../text/formatUnits.js'
import { isMapping } from '../../../validate.js'
import { jsonMembers, type Span } from './jsonMembers.js'

/** A problem without its tests. */
export interface Problem {
  id: string
  title: string
  content: string
  platform: string
  difficulty: string
  /** ISO date, of some with a time. */
  date: string
  starter: string
  /** Of the method that is called; null for a program that reads stdin. */
  functionName: string | null
  /** Bytes of the file with the JSON texts of the two fields of tests. */
  publicTests: Span
  privateTests: Span
}

/** One file of the data set: which it is, and its problems. */
export interface Shard {
  path: string
  sha256: string
  /** Size and times, by which a changed file is noticed. */
  state: string
  problems: readonly Problem[]
}

/** The longest known row has less than a tenth of it. */
const maxRowBytes = 2 ** 30

const format = 'branchmerge LiveCodeBench index 1'

export interface OpenShardsOptions {
  signal?: AbortSignal | undefined
  /** Bytes of the files that are read, those that were known left out; not called where all were. */
  onProgress?: ((done: number, total: number) => void) | undefined
}

/**
 * The problems of files. They have gigabytes, so what was found is kept in the user's cache as soon as a file is read: texts of
 * problems, and where their tests are, which stay in the file.
 *
 * @returns each shard, and why it could not be kept where it could not
 * @throws ERR_BENCHMARK where a row is none of LiveCodeBench's; ERR_FILE_READ; the signal's reason
 */
export async function openShards(
  paths: readonly string[],
  { signal, onProgress }: OpenShardsOptions = {},
): Promise<{ shard: Shard; notKept?: string }[]> {
  const cache = join(userCache(), 'livecodebench')
  const found = await Promise.all(paths.map((path) => lookUp(path, cache)))
  const total = found.reduce((sum, { bytes, known }) => sum + (known ? 0 : bytes), 0)
  let before = 0
  const shards: { shard: Shard; notKept?: string }[] = []
  for (const { path, kept, state, bytes, known } of found) {
    if (known) {
      shards.push({ shard: { ...known, path } })
      continue
    }
    const read = await readShard(path, signal, (done) => onProgress?.(before + done, total))
    const shard = { path, state, ...read }
    if ((await stateOf(path)).state !== state) throw changed(path)
    before += bytes
    shards.push({ shard, ...(await keep(cache, kept, shard)) })
  }
  return shards
}

async function lookUp(path: string, cache: string) {
  const { state, bytes } = await stateOf(path)
  const kept = join(cache, `${hashOf(await realpath(path))}.json`)
  return { path, kept, state, bytes, known: await readKept(kept, state) }
}

async function keep(cache: string, path: string, shard: Shard): Promise<{ notKept?: string }> {
  try {
    await mkdir(cache, { recursive: true })
    await writeWhole(path, JSON.stringify({ format, ...shard }))
    return {}
  } catch (error) {
    return { notKept: (error as Error).message }
  }
}

const hashOf = (text: string): string => createHash('sha256').update(text).digest('hex').slice(0, 32)

const benchmarkError = (message: string): BranchMergeError => new BranchMergeError('ERR_BENCHMARK', message)

const changed = (path: string): BranchMergeError =>
  new BranchMergeError(
    'ERR_FILE_CHANGED',
    `Expected ${path} as it was but it changed. Run again when nothing writes to it`,
  )

async function stateOf(path: string): Promise<{ state: string; bytes: number }> {
  const { ino, size, mtimeNs, ctimeNs } = await stat(path, { bigint: true }).catch((cause) => {
    throw readFailure(path, cause)
  })
  return { state: [ino, size, mtimeNs, ctimeNs].join('-'), bytes: Number(size) }
}

/** A cache that cannot be used is made anew. */
async function readKept(path: string, state: string): Promise<Shard | undefined> {
  try {
    const kept = JSON.parse(await readFile(path, 'utf8'))
    return isMapping(kept) && kept['format'] === format && kept['state'] === state
      ? (kept as unknown as Shard)
      : undefined
  } catch {
    return undefined
  }
}

async function readShard(
  path: string,
  signal: AbortSignal | undefined,
  onBytes: (done: number) => void,
): Promise<Pick<Shard, 'sha256' | 'problems'>> {
  const hash = createHash('sha256')
  let done = 0
  const onChunk = (chunk: Buffer) => {
    hash.update(chunk)
    done += chunk.length
    onBytes(done)
  }
  const problems: Problem[] = []
  for await (const { row, bytes, offset } of rowsOf(path, onChunk, signal)) {
    if (isBlank(bytes)) continue
    problems.push(readProblem(bytes, offset, `${path}, row ${row}`))
  }
  if (problems.length === 0) throw benchmarkError(`Expected problems of LiveCodeBench in ${path} but it is empty`)
  return { sha256: hash.digest('hex'), problems }
}

interface Row {
  row: number
  bytes: Buffer
  offset: number
}

/** Lines by their bytes; memory holds one of them. */
async function* rowsOf(
  path: string,
  onChunk: (chunk: Buffer) => void,
  signal: AbortSignal | undefined,
): AsyncGenerator<Row> {
  let pending: Buffer[] = []
  let length = 0
  let offset = 0
  let row = 1
  const take = (last: Buffer): Row => {
    const bytes = pending.length === 0 ? last : Buffer.concat([...pending, last])
    const taken = { row: row++, bytes, offset }
    offset += bytes.length + 1
    pending = []
    length = 0
    return taken
  }
  const stream = createReadStream(path, { highWaterMark: 2 ** 20, ...(signal ? { signal } : {}) })
  try {
    for await (const chunk of stream as AsyncIterable<Buffer>) {
      onChunk(chunk)
      let begin = 0
      for (let end = chunk.indexOf(0x0a); end >= 0; end = chunk.indexOf(0x0a, begin)) {
        yield take(chunk.subarray(begin, end))
        begin = end + 1
      }
      pending.push(chunk.subarray(begin))
      length += chunk.length - begin
      if (length > maxRowBytes) {
        throw benchmarkError(`Expected rows of at most ${formatBytes(maxRowBytes)} in ${path} but row ${row} has more`)
      }
    }
  } catch (error) {
    signal?.throwIfAborted()
    throw error instanceof BranchMergeError ? error : readFailure(path, error as NodeJS.ErrnoException)
  } finally {
    stream.destroy()
  }
  yield take(Buffer.alloc(0))
}

const isBlank = (bytes: Buffer): boolean => bytes.length < 100 && bytes.toString('latin1').trim() === ''

const texts = ['question_id', 'question_title', 'question_content', 'platform', 'difficulty', 'contest_date'] as const

function readProblem(bytes: Buffer, offset: number, place: string): Problem {
  const members = jsonMembers(bytes)
  if (!members) throw benchmarkError(`${place}: expected a JSON object in one line`)
  const span = (name: string): Span => {
    const found = members.get(name)
    if (!found) throw benchmarkError(`${place}: expected the field ${name} of LiveCodeBench but there is none`)
    return found
  }
  const text = (name: string): string => readText(bytes, span(name), `${place}: ${name}`)
  const inFile = ({ begin, end }: Span): Span => ({ begin: offset + begin, end: offset + end })
  const [id, title, content, platform, difficulty, date] = texts.map(text) as [
    string,
    string,
    string,
    string,
    string,
    string,
  ]
  if (!/^\d{4}-\d\d-\d\d/.test(date)) {
    throw benchmarkError(
      `${place}: expected a date such as 2024-08-01 for contest_date but received ${date.slice(0, 40)}`,
    )
  }
  return {
    id,
    title,
    content,
    platform,
    difficulty,
    date,
    starter: text('starter_code'),
    functionName: functionNameOf(text('metadata'), place),
    publicTests: inFile(span('public_test_cases')),
    privateTests: inFile(span('private_test_cases')),
  }
}

function readText(bytes: Buffer, { begin, end }: Span, what: string): string {
  let value: unknown
  try {
    value = JSON.parse(bytes.toString('utf8', begin, end))
  } catch {
    value = undefined
  }
  if (typeof value === 'string') return value
  const shown = bytes.toString('utf8', begin, Math.min(end, begin + 40))
  throw benchmarkError(`${what}: expected a JSON string but received ${shown}`)
}

function functionNameOf(metadata: string, place: string): string | null {
  let value: unknown
  try {
    value = JSON.parse(metadata)
  } catch {
    value = undefined
  }
  if (!isMapping(value)) throw benchmarkError(`${place}: expected a JSON object in metadata`)
  const name = value['func_name'] ?? null
  if (name === null || (typeof name === 'string' && /^\w+$/.test(name))) return name
  throw benchmarkError(`${place}: expected a name for func_name in metadata`)
}

/**
 * A field's text of tests, read from its place in the file.
 *
 * @throws ERR_FILE_CHANGED where the file is another than the one that was read before; ERR_BENCHMARK; ERR_FILE_READ
 */
export async function readField({ path, state }: Shard, { begin, end }: Span, what: string): Promise<string> {
  const handle = await open(path).catch((cause) => {
    throw readFailure(path, cause)
  })
  try {
    if ((await stateOf(path)).state !== state) throw changed(path)
    const bytes = Buffer.alloc(end - begin)
    let filled = 0
    while (filled < bytes.length) {
      const { bytesRead } = await handle.read(bytes, filled, bytes.length - filled, begin + filled)
      if (bytesRead === 0) throw changed(path)
      filled += bytesRead
    }
    return readText(bytes, { begin: 0, end: bytes.length }, `${path}, ${what}`)
  } finally {
    await handle.close()
  }
}
