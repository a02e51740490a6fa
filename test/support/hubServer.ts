import { createHash, randomBytes } from 'node:crypto'
import { closeSync, createReadStream, openSync, readdirSync, readFileSync, readSync, statSync } from 'node:fs'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'

/**
 * A server that speaks the Hub's API as its documentation describes it, and not as our client asks: model and data set
 * information by revision, the tree in pages, resolve with redirects to a store (another origin), ranges, the headers of
 * linked files, errors by X-Error-Code, creation of repositories and branches, preupload, Git LFS batches with basic and
 * multipart transfers, and commits in NDJSON. Sources: https://huggingface.co/docs/hub/api, its OpenAPI description,
 * https://huggingface.co/docs/hub/local-cache, and https://github.com/git-lfs/git-lfs/blob/main/docs/api.
 */
export interface HubFile {
  path: string
  bytes: number
  /** Of Git's blob, or of the pointer. */
  oid: string
  lfs: string | undefined
  read(begin: number, end: number): Buffer
}

export interface HubRepository {
  kind: 'model' | 'dataset'
  name: string
  private?: boolean
  gated?: boolean
  /** Branch or tag to commit. */
  refs: Map<string, string>
  commits: Map<string, HubFile[]>
}

/** What goes wrong, asked for each request to the store or to resolve. */
export interface HubFaults {
  /** Close the connection after so many bytes of the answer; undefined: none. */
  cut?(path: string, begin: number, end: number): number | undefined
  /** Never answer the request for these bytes. */
  hold?(path: string, begin: number): boolean
  /** Never answer an upload of a part to the store. */
  holdUpload?(part: number): boolean
  /** Serve other bytes than those that were hashed. */
  damage?: boolean
  /** Answer ranges with the whole file. */
  ignoreRanges?: boolean
  /** Another file under the same name: another tag. */
  changed?: boolean
  /** So many requests are answered with this status first. */
  refuse?: { status: number; times: number; retryAfter?: string }
  /** Addresses of the store hold for so many requests. */
  expireAfter?: number
  /** What the token may do. Default: write. */
  role?: 'read' | 'write'
  /** Close the connection of an upload to the store after so many bytes of a part; undefined: none. */
  cutUpload?(part: number): number | undefined
  /** The commit is made, and its answer is lost. */
  loseCommit?: boolean
  /** What comes to pass before a commit is taken: somebody else's, for one. */
  beforeCommit?(): void
}

export interface HubRequest {
  method: string
  path: string
  /** Whether the token of the server was sent. */
  token: boolean
  range: string | undefined
}

interface Upload {
  bytes: number
  parts: Map<number, Buffer>
}

const pageSize = 50
const partBytes = 5 * 2 ** 20
/** Files from here on, and those of these endings, are large: as .gitattributes of new repositories say. */
const lfsEndings = /\.(safetensors|gguf|bin|parquet|model)$/

export class HubServer {
  readonly repositories = new Map<string, HubRepository>()
  readonly requests: HubRequest[] = []
  readonly stored = new Map<string, Buffer>()
  faults: HubFaults = {}
  readonly token = `hf_${randomBytes(12).toString('hex')}`
  /** Bytes of files that were sent. */
  bytesServed = 0
  /** Bytes of large files that were received. */
  bytesReceived = 0
  /** In which the token may make repositories. */
  organisations = ['org']
  pageSize = pageSize
  partBytes = partBytes
  private readonly uploads = new Map<string, Upload>()
  private served = 0

  private constructor(
    private readonly hub: Server,
    private readonly store: Server,
  ) {}

  static async start(): Promise<HubServer> {
    let server: HubServer
    const hub = createServer((request, response) => server.answer(request, response))
    const store = createServer((request, response) => server.answerStore(request, response))
    server = new HubServer(hub, store)
    for (const each of [hub, store]) await new Promise<void>((resolve) => each.listen(0, '127.0.0.1', () => resolve()))
    return server
  }

  async close(): Promise<void> {
    for (const server of [this.hub, this.store]) {
      server.closeAllConnections()
      await new Promise((resolve) => server.close(resolve))
    }
  }

  get endpoint(): string {
    return `http://127.0.0.1:${(this.hub.address() as AddressInfo).port}`
  }

  get storeOrigin(): string {
    return `http://127.0.0.1:${(this.store.address() as AddressInfo).port}`
  }

  /** A repository with one commit of these files, which `main` is. */
  add(name: string, files: HubFile[], more: Partial<HubRepository> = {}): HubRepository {
    const repository: HubRepository = { kind: 'model', name, refs: new Map(), commits: new Map(), ...more }
    this.repositories.set(`${repository.kind}s/${name}`, repository)
    this.commit(repository, files)
    return repository
  }

  commit(repository: HubRepository, files: HubFile[], branch = 'main'): string {
    const commit = createHash('sha1').update(`${branch}${repository.commits.size}${repository.name}`).digest('hex')
    repository.commits.set(commit, files)
    repository.refs.set(branch, commit)
    return commit
  }

  private answer(request: IncomingMessage, response: ServerResponse): undefined {
    const url = new URL(request.url ?? '/', this.endpoint)
    const token = request.headers.authorization === `Bearer ${this.token}`
    const path = url.pathname
    this.requests.push({ method: request.method ?? '', path, token, range: request.headers.range })
    const { refuse } = this.faults
    if (refuse && refuse.times-- > 0) {
      response.writeHead(refuse.status, refuse.retryAfter === undefined ? {} : { 'retry-after': refuse.retryAfter })
      response.end('{"error":"Later"}')
      return
    }
    const body: Buffer[] = []
    request.on('data', (chunk) => body.push(chunk))
    request.on('end', () => this.route({ request, response, url, token, body: Buffer.concat(body) }))
  }

  private route(asked: Asked): undefined {
    const path = asked.url.pathname
    const routes: [RegExp, (groups: string[]) => undefined][] = [
      [/^\/api\/whoami-v2$/, () => this.whoAmI(asked)],
      [/^\/api\/repos\/create$/, () => this.create(asked)],
      [/^\/api\/(models|datasets)$/, ([type = '']) => this.listOf(asked, type)],
      [
        /^\/api\/((?:models|datasets)\/[^/]+\/[^/]+)\/(revision|tree|preupload|commit|branch)\/(.+)$/,
        ([key = '', verb = '', rest = '']) => this.api(asked, key, verb, rest),
      ],
      [
        /^\/(datasets\/)?([^/]+\/[^/]+)\.git\/info\/lfs\/objects\/batch$/,
        ([type, name]) => {
          if (this.open(asked, `${type ?? 'models/'}${name}`, true)) this.lfsBatch(asked)
        },
      ],
      [
        /^\/(datasets\/)?([^/]+\/[^/]+)\/resolve\/([^/]+)\/(.+)$/,
        ([type, name, revision = '', file = '']) => {
          const repository = this.open(asked, `${type ?? 'models/'}${name}`, false, true)
          if (repository) this.resolve(asked, repository, decodeURIComponent(revision), decodeURIComponent(file))
        },
      ],
    ]
    for (const [pattern, take] of routes) {
      const match = pattern.exec(path)
      if (match) return take(match.slice(1))
    }
    fail(asked, 404, undefined, 'Not found')
  }

  private api(asked: Asked, key: string, verb: string, rest: string): undefined {
    const repository = this.open(asked, key, verb !== 'revision' && verb !== 'tree')
    if (!repository) return
    if (verb === 'revision') return this.info(asked, repository, decodeURIComponent(rest))
    if (verb === 'tree') return this.tree(asked, repository, rest)
    if (verb === 'branch') return this.branch(asked, repository, decodeURIComponent(rest))
    if (verb === 'preupload') return this.preupload(asked)
    return this.takeCommit(asked, repository, decodeURIComponent(rest))
  }

  private open(asked: Asked, key: string, write: boolean, content = false): HubRepository | undefined {
    const repository = this.repositories.get(key)
    const { token } = asked
    if (!repository || (repository.private && !token)) {
      fail(asked, token ? 404 : 401, 'RepoNotFound', token ? 'Repository not found' : 'Invalid username or password.')
      return undefined
    }
    if (write && !token) {
      fail(asked, 401, undefined, 'Unauthorized')
      return undefined
    }
    if (write && !this.mayWrite(repository.name)) {
      fail(asked, 403, undefined, `You don't have the rights to write to ${repository.name}`)
      return undefined
    }
    if (content && repository.gated && !repository.private) {
      fail(asked, token ? 403 : 401, 'GatedRepo', `Access to model ${repository.name} is restricted.`)
      return undefined
    }
    return repository
  }

  private commitAt({ refs, commits }: HubRepository, revision: string): string | undefined {
    return revision === 'HEAD' ? refs.get('main') : commits.has(revision) ? revision : refs.get(revision)
  }

  private info(asked: Asked, repository: HubRepository, revision: string): undefined {
    const sha = this.commitAt(repository, revision)
    if (sha === undefined) return fail(asked, 404, 'RevisionNotFound', `Invalid rev id: ${revision}`)
    const files = repository.commits.get(sha) ?? []
    json(asked, {
      _id: '621ffdc036468d709f174338',
      id: repository.name,
      sha,
      private: repository.private === true,
      gated: repository.gated ? 'manual' : false,
      lastModified: '2026-01-01T00:00:00.000Z',
      likes: 0,
      downloads: 0,
      siblings: files.map(({ path }) => ({ rfilename: path })),
    })
  }

  private listOf(asked: Asked, type: string): undefined {
    const author = asked.url.searchParams.get('author')
    const found = [...this.repositories].flatMap(([key, { name, private: hidden }]) =>
      key.startsWith(`${type}/`) && !hidden && name.startsWith(`${author}/`) ? [{ _id: name, id: name }] : [],
    )
    json(asked, found)
  }

  private tree(asked: Asked, repository: HubRepository, rest: string): undefined {
    const [revision = '', ...folders] = rest.split('/').map(decodeURIComponent)
    const sha = this.commitAt(repository, revision)
    if (sha === undefined) return fail(asked, 404, 'RevisionNotFound', `Invalid rev id: ${revision}`)
    const prefix = folders.length === 0 ? '' : `${folders.join('/')}/`
    const all = (repository.commits.get(sha) ?? []).filter(({ path }) => path.startsWith(prefix))
    if (prefix !== '' && all.length === 0) return fail(asked, 404, 'EntryNotFound', `${prefix} does not exist`)
    const from = Number(asked.url.searchParams.get('cursor') ?? 0)
    const page = all.slice(from, from + this.pageSize).map(({ path, bytes, oid, lfs }) => ({
      type: 'file',
      oid,
      size: bytes,
      path,
      ...(lfs ? { lfs: { oid: lfs, size: bytes, pointerSize: 135 } } : {}),
    }))
    const directories = from === 0 ? [...new Set(all.flatMap(({ path }) => parents(path)))] : []
    if (from + this.pageSize < all.length) {
      const next = new URL(asked.url)
      next.searchParams.set('cursor', String(from + this.pageSize))
      asked.response.setHeader('link', `<${next.href}>; rel="next"`)
    }
    json(asked, [...directories.map((path) => ({ type: 'directory', oid: '0'.repeat(40), size: 0, path })), ...page])
  }

  private resolve(asked: Asked, repository: HubRepository, revision: string, path: string): undefined {
    const sha = this.commitAt(repository, revision)
    if (sha === undefined) return fail(asked, 404, 'RevisionNotFound', `Invalid rev id: ${revision}`)
    const { response } = asked
    response.setHeader('x-repo-commit', sha)
    const file = repository.commits.get(sha)?.find((each) => each.path === path)
    if (!file) return fail(asked, 404, 'EntryNotFound', 'Entry not found')
    const tag = this.faults.changed ? 'f'.repeat(file.lfs ? 64 : 40) : (file.lfs ?? file.oid)
    response.setHeader('accept-ranges', 'bytes')
    if (file.lfs === undefined) {
      response.setHeader('etag', `"${tag}"`)
      this.send(asked, file)
      return
    }
    response.setHeader('x-linked-etag', `"${tag}"`)
    response.setHeader('x-linked-size', String(file.bytes))
    response.setHeader('etag', `"${file.oid}"`)
    const key = Buffer.from(`${repository.kind}s/${repository.name} ${sha} ${path}`).toString('base64url')
    const expires = this.faults.expireAfter === undefined ? 'never' : String(this.served + this.faults.expireAfter)
    response.writeHead(302, { location: `${this.storeOrigin}/${key}?expires=${expires}&signature=secret` })
    response.end()
  }

  /** The store: no token may reach it. */
  private answerStore(request: IncomingMessage, response: ServerResponse): undefined {
    const url = new URL(request.url ?? '/', this.storeOrigin)
    const token = request.headers.authorization !== undefined
    this.requests.push({
      method: request.method ?? '',
      path: `store${url.pathname}`,
      token,
      range: request.headers.range,
    })
    if (url.pathname.startsWith('/upload/')) return this.takeUpload(request, response, url)
    if (url.pathname.startsWith('/complete/')) return this.completeUpload(request, response, url)
    const expires = url.searchParams.get('expires')
    if (token || (expires !== 'never' && Number(expires) <= this.served)) {
      response.writeHead(403).end('<Error><Code>AccessDenied</Code></Error>')
      return
    }
    this.served++
    const [key = '', sha = '', ...path] = Buffer.from(url.pathname.slice(1), 'base64url').toString().split(' ')
    const file = this.repositories
      .get(key)
      ?.commits.get(sha)
      ?.find((each) => each.path === path.join(' '))
    if (!file) {
      response.writeHead(404).end()
      return
    }
    response.setHeader('etag', `"${file.lfs}"`)
    this.send({ request, response, url, token, body: Buffer.alloc(0) }, file)
  }

  private send({ request, response }: Asked, file: HubFile): undefined {
    const { cut, damage, ignoreRanges, hold } = this.faults
    const [, from, to] = /^bytes=(\d+)-(\d*)$/.exec(request.headers.range ?? '') ?? []
    const isRange = from !== undefined && !ignoreRanges
    const begin = isRange ? Number(from) : 0
    const end = isRange && to ? Math.min(Number(to) + 1, file.bytes) : file.bytes
    if (isRange && begin >= file.bytes) {
      response.writeHead(416, { 'content-range': `bytes */${file.bytes}` }).end()
      return
    }
    if (request.method !== 'HEAD' && hold?.(file.path, begin)) return
    response.writeHead(isRange ? 206 : 200, {
      'content-length': end - begin,
      'content-type': 'application/octet-stream',
      ...(isRange ? { 'content-range': `bytes ${begin}-${end - 1}/${file.bytes}` } : {}),
    })
    if (request.method === 'HEAD') {
      response.end()
      return
    }
    const stop = cut?.(file.path, begin, end)
    const until = stop === undefined ? end : Math.min(end, begin + stop)
    let at = begin
    const next = () => {
      while (at < until) {
        const bytes = file.read(at, Math.min(until, at + 256 * 1024))
        if (damage) bytes[0] = (bytes[0] as number) ^ 1
        at += bytes.length
        this.bytesServed += bytes.length
        if (!response.write(bytes)) {
          response.once('drain', next)
          return
        }
      }
      if (until === end) response.end()
      else setImmediate(() => response.destroy())
    }
    next()
  }

  private mayWrite(name: string): boolean {
    return this.faults.role !== 'read' && this.organisations.includes(name.split('/')[0] as string)
  }

  private whoAmI(asked: Asked): undefined {
    if (!asked.token) return fail(asked, 401, undefined, 'Invalid username or password.')
    const orgs = this.organisations.map((name) => ({ type: 'org', id: name, name, fullname: name, roleInOrg: 'write' }))
    const accessToken = {
      displayName: 'test',
      role: this.faults.role ?? 'write',
      createdAt: '2026-01-01T00:00:00.000Z',
    }
    json(asked, { type: 'user', id: '1', name: 'user', orgs, auth: { type: 'access_token', accessToken } })
  }

  private create(asked: Asked): undefined {
    if (!asked.token) return fail(asked, 401, undefined, 'Unauthorized')
    const { name, organization, type = 'model', visibility } = JSON.parse(asked.body.toString())
    const whole = `${organization}/${name}`
    if (!this.mayWrite(whole))
      return fail(asked, 403, undefined, `You don't have the rights to create under ${organization}`)
    if (this.repositories.has(`${type}s/${whole}`)) return fail(asked, 409, undefined, 'You already created this repo')
    const attributes = hubFile('.gitattributes', '*.safetensors filter=lfs diff=lfs merge=lfs -text\n')
    this.add(whole, [attributes], { kind: type, private: visibility === 'private' })
    json(asked, { url: `${this.endpoint}/${whole}`, id: whole })
  }

  private branch(asked: Asked, repository: HubRepository, branch: string): undefined {
    if (repository.refs.has(branch)) return fail(asked, 409, undefined, 'Reference already exists')
    repository.refs.set(branch, repository.refs.get('main') as string)
    json(asked, {}, 201)
  }

  private preupload(asked: Asked): undefined {
    const { files } = JSON.parse(asked.body.toString()) as { files: { path: string; size: number; sample: string }[] }
    json(asked, {
      files: files.map(({ path, size }) => ({
        path,
        uploadMode: size >= 10 * 2 ** 20 || lfsEndings.test(path) ? 'lfs' : 'regular',
        shouldIgnore: false,
      })),
    })
  }

  private lfsBatch(asked: Asked): undefined {
    const { objects } = JSON.parse(asked.body.toString()) as { objects: { oid: string; size: number }[] }
    json(asked, {
      transfer: 'multipart',
      objects: objects.map(({ oid, size }) => {
        if (this.stored.has(oid)) return { oid, size }
        this.uploads.set(oid, { bytes: size, parts: new Map() })
        const address = (part: number) => `${this.storeOrigin}/upload/${oid}/${part}?signature=secret`
        const parts = Math.max(1, Math.ceil(size / this.partBytes))
        const upload =
          parts === 1
            ? { href: address(1) }
            : {
                href: `${this.storeOrigin}/complete/${oid}?signature=secret`,
                header: {
                  chunk_size: String(this.partBytes),
                  ...Object.fromEntries(
                    Array.from({ length: parts }, (_, i) => [String(i + 1).padStart(5, '0'), address(i + 1)]),
                  ),
                },
              }
        return { oid, size, actions: { upload } }
      }),
    })
  }

  private takeUpload(request: IncomingMessage, response: ServerResponse, url: URL): undefined {
    const [, , oid = '', part = ''] = url.pathname.split('/')
    const { refuse } = this.faults
    if (refuse && refuse.times-- > 0) {
      request.resume()
      request.on('end', () => response.writeHead(refuse.status).end())
      return
    }
    const pieces: Buffer[] = []
    const stop = this.faults.cutUpload?.(Number(part))
    let received = 0
    request.on('error', () => {})
    request.on('data', (chunk: Buffer) => {
      pieces.push(chunk)
      received += chunk.length
      this.bytesReceived += chunk.length
      if (stop !== undefined && received >= stop) request.destroy()
    })
    request.on('end', () => {
      if (this.faults.holdUpload?.(Number(part))) return
      const upload = this.uploads.get(oid)
      const bytes = Buffer.concat(pieces)
      upload?.parts.set(Number(part), bytes)
      if (upload && upload.bytes <= this.partBytes) this.keep(oid, bytes)
      response.writeHead(200, { etag: `"${createHash('md5').update(bytes).digest('hex')}"` }).end()
    })
  }

  private completeUpload(request: IncomingMessage, response: ServerResponse, url: URL): undefined {
    const oid = url.pathname.split('/')[2] ?? ''
    const pieces: Buffer[] = []
    request.on('data', (chunk) => pieces.push(chunk))
    request.on('end', () => {
      const { parts } = JSON.parse(Buffer.concat(pieces).toString()) as {
        parts: { partNumber: number; etag: string }[]
      }
      const upload = this.uploads.get(oid)
      const bytes = parts.map(({ partNumber, etag }) => {
        const part = upload?.parts.get(partNumber)
        return part && etag === `"${createHash('md5').update(part).digest('hex')}"` ? part : undefined
      })
      const whole = Buffer.concat(bytes.filter((part) => part !== undefined))
      response.writeHead(this.keep(oid, whole) ? 200 : 400).end('{}')
    })
  }

  private keep(oid: string, bytes: Buffer): boolean {
    if (createHash('sha256').update(bytes).digest('hex') !== oid) return false
    this.stored.set(oid, bytes)
    return true
  }

  private takeCommit(asked: Asked, repository: HubRepository, branch: string): undefined {
    this.faults.beforeCommit?.()
    const parent = repository.refs.get(branch)
    if (parent === undefined) return fail(asked, 404, 'RevisionNotFound', `Invalid rev id: ${branch}`)
    const files = new Map((repository.commits.get(parent) ?? []).map((file) => [file.path, file]))
    for (const line of asked.body.toString().trim().split('\n')) {
      const { key, value } = JSON.parse(line)
      if (key === 'file') files.set(value.path, hubFile(value.path, Buffer.from(value.content, 'base64')))
      else if (key === 'lfsFile') {
        const content = this.stored.get(value.oid)
        if (!content) return fail(asked, 400, undefined, `LFS pointer of ${value.path} points to nothing`)
        files.set(value.path, hubFile(value.path, content))
      } else if (key === 'deletedFile') files.delete(value.path)
      else if (key === 'header' && value.parentCommit !== undefined && value.parentCommit !== parent)
        return fail(asked, 412, undefined, 'A commit has happened since. Please refresh and try again.')
      else if (key !== 'header' || typeof value.summary !== 'string') return fail(asked, 400, undefined, `Key ${key}`)
    }
    const commitOid = this.commit(repository, [...files.values()], branch)
    if (this.faults.loseCommit) {
      asked.request.socket.destroy()
      return
    }
    json(asked, { success: true, commitOid, commitUrl: `${this.endpoint}/${repository.name}/commit/${commitOid}` })
  }
}

interface Asked {
  request: IncomingMessage
  response: ServerResponse
  url: URL
  token: boolean
  body: Buffer
}

function json({ response }: Asked, value: unknown, status = 200): undefined {
  response.writeHead(status, { 'content-type': 'application/json; charset=utf-8' })
  response.end(JSON.stringify(value))
}

function fail(asked: Asked, status: number, code: string | undefined, message: string): undefined {
  if (code !== undefined) asked.response.setHeader('x-error-code', code)
  asked.response.setHeader('x-error-message', message)
  json(asked, { error: message }, status)
}

function parents(path: string): string[] {
  const parts = path.split('/').slice(0, -1)
  return parts.map((_, i) => parts.slice(0, i + 1).join('/'))
}

const gitOid = (bytes: Buffer): string =>
  createHash('sha1').update(`blob ${bytes.length}\0`).update(bytes).digest('hex')

/** A file of a repository from its bytes; by its name and size it is large or not. */
export function hubFile(path: string, content: Buffer | string): HubFile {
  const bytes = Buffer.from(content)
  const isLarge = lfsEndings.test(path) || bytes.length >= 10 * 2 ** 20
  const read = (begin: number, end: number) => Buffer.from(bytes.subarray(begin, end))
  if (!isLarge) return { path, bytes: bytes.length, oid: gitOid(bytes), lfs: undefined, read }
  const lfs = createHash('sha256').update(bytes).digest('hex')
  const pointer = `version https://git-lfs.github.com/spec/v1\noid sha256:${lfs}\nsize ${bytes.length}\n`
  return { path, bytes: bytes.length, oid: gitOid(Buffer.from(pointer)), lfs, read }
}

/** The files of a directory, as a repository has them. */
export function hubFiles(directory: string): HubFile[] {
  const entries = readdirSync(directory, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile())
  return entries.map((entry) => {
    const path = join(entry.parentPath, entry.name)
    return hubFile(path.slice(directory.length + 1), readFileSync(path))
  })
}

/** A large file that is read from the disk as it is asked for. */
export async function largeHubFile(path: string, from: string): Promise<HubFile> {
  const hash = createHash('sha256')
  for await (const chunk of createReadStream(from)) hash.update(chunk)
  const lfs = hash.digest('hex')
  const descriptor = openSync(from, 'r')
  process.once('exit', () => closeSync(descriptor))
  const read = (begin: number, end: number) => {
    const bytes = Buffer.allocUnsafe(end - begin)
    readSync(descriptor, bytes, 0, bytes.length, begin)
    return bytes
  }
  return { path, bytes: statSync(from).size, oid: gitOid(Buffer.from(lfs)), lfs, read }
}
