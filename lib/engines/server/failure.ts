/** What went wrong with one request, and what may be done about it. */
export type FailureKind =
  /** Nothing listens there, or not yet. */
  | 'down'
  /** 429 and 503: all who ask should wait. */
  | 'busy'
  /** May go well another time. */
  | 'passing'
  /** The same request will be refused again. */
  | 'refused'

/** One request failed. */
export class RequestFailure extends Error {
  override readonly name = 'RequestFailure'

  constructor(
    readonly kind: FailureKind,
    message: string,
    readonly details: {
      status?: number
      /** Milliseconds that the server asks to wait. */
      wait?: number | undefined
      /** What the server said, parsed. */
      said?: ServerError
      cause?: unknown
    } = {},
  ) {
    super(message, { cause: details.cause })
  }
}

/** An error as servers write it. */
export interface ServerError {
  message: string
  /** The parameter that it is about. */
  param: string | undefined
  code: string | number | undefined
  type: string | undefined
}

/** The failure without what must stand in no message or record: servers repeat the keys that they refuse. */
export function withoutSecrets(error: unknown, secrets: readonly string[]): unknown {
  if (!(error instanceof RequestFailure) || secrets.length === 0) return error
  const clean = (text: string) => secrets.reduce((each, secret) => each.replaceAll(secret, '…'), text)
  const { said } = error.details
  return new RequestFailure(error.kind, clean(error.message), {
    ...error.details,
    ...(said && { said: { ...said, message: clean(said.message) } }),
    cause: undefined,
  })
}

const downCodes = new Set(['ECONNREFUSED', 'EAI_AGAIN', 'EHOSTUNREACH', 'ENETUNREACH', 'EHOSTDOWN'])
const refusedCodes = new Set(['ENOTFOUND', 'ERR_INVALID_URL', 'EPROTO'])

/** Of certificates that are good but for whoever signed them. */
const unknownSigner = /SELF_SIGNED|UNABLE_TO_(GET_ISSUER|VERIFY_LEAF)/
const signerAdvice = '. If you trust it, name the file of its certificate, or of who signed it, in NODE_EXTRA_CA_CERTS'

/** A connection that failed. Names that nobody knows and certificates that nobody signed stay so. */
export function connectionFailure(cause: NodeJS.ErrnoException, url: string): RequestFailure {
  const code = cause.code ?? ''
  const isCertificate = /CERT|SELF_SIGNED|^ERR_TLS|^ERR_SSL/.test(code)
  const kind = downCodes.has(code) ? 'down' : refusedCodes.has(code) || isCertificate ? 'refused' : 'passing'
  // An AggregateError of several addresses has no message.
  const what = cause.message || code || 'the connection failed'
  const advice = unknownSigner.test(code) ? signerAdvice : ''
  return new RequestFailure(kind, `${url}: ${what}${advice}`, { cause })
}

const passingStatuses = new Set([408, 409, 425, 500, 502, 504, 520, 521, 522, 523, 524, 529])

/** An answer whose status is not 2xx. */
export function statusFailure(status: number, headers: HeaderValues, body: string, url: string): RequestFailure {
  const said = readServerError(body)
  const kind = status === 429 || status === 503 ? 'busy' : passingStatuses.has(status) ? 'passing' : 'refused'
  const location = status >= 300 && status < 400 && headers.location ? ` to ${headers.location}` : ''
  return new RequestFailure(kind, `${url} answered ${status}${location}: ${said.message}`, {
    status,
    said,
    wait: waitAsked(headers),
  })
}

/** Where an event or a body of 200 says that something failed. */
export function eventFailure(value: unknown, url: string): RequestFailure {
  const said = errorOf(value) ?? errorWith(JSON.stringify(value).slice(0, 300))
  const status = Number(said.code)
  const isStatus = Number.isInteger(status) && status >= 400 && status < 600
  const refusal = isStatus ? statusFailure(status, {}, '', url) : undefined
  const kind = refusal?.kind ?? (/invalid_request|BadRequest/i.test(said.type ?? '') ? 'refused' : 'passing')
  return new RequestFailure(kind, `${url} failed while it answered: ${said.message}`, {
    said,
    ...(isStatus && { status }),
  })
}

/** The error that a body holds, or its beginning where it is none: HTML of a proxy, for example. */
export function readServerError(body: string): ServerError {
  const text = body.trim()
  try {
    const found = errorOf(JSON.parse(text))
    if (found) return found
  } catch {
    // no JSON
  }
  const title = /<title>([^<]*)<\/title>/i.exec(text)?.[1]
  const words = title ?? text.replace(/<[^>]*>/g, ' ')
  const message = words.replace(/\s+/g, ' ').trim().slice(0, 300) || 'it says nothing more'
  return errorWith(message)
}

/** `{error: {…}}` of OpenAI, `{error: "…"}`, `{object: "error", …}` of vLLM, `{detail: …}` of FastAPI. */
export function errorOf(value: unknown): ServerError | undefined {
  if (!isRecord(value)) return undefined
  const isError = value.object === 'error' || value.type === 'error'
  const inner = value.error ?? (isError ? value : undefined)
  if (typeof inner === 'string') return errorWith(inner)
  if (isRecord(inner)) return errorFields(isRecord(inner.error) ? inner.error : inner)
  if (value.detail !== undefined) return refusedField(value.detail)
  return typeof value.message === 'string' ? errorWith(value.message) : undefined
}

const errorWith = (message: string, param?: string): ServerError => ({
  message: message.slice(0, 1000),
  param,
  code: undefined,
  type: undefined,
})

function errorFields(fields: Record<string, unknown>): ServerError {
  const { message, param, code, type } = fields
  return {
    message: String(message ?? JSON.stringify(fields)).slice(0, 1000),
    param: typeof param === 'string' ? param : undefined,
    code: typeof code === 'string' || typeof code === 'number' ? code : undefined,
    type: typeof type === 'string' ? type : undefined,
  }
}

/** FastAPI has a list of fields and what is wrong with each. */
function refusedField(detail: unknown): ServerError {
  if (typeof detail === 'string') return errorWith(detail)
  const first: unknown = Array.isArray(detail) ? detail[0] : undefined
  const place: unknown = isRecord(first) && Array.isArray(first.loc) ? first.loc.at(-1) : undefined
  return errorWith(JSON.stringify(detail), typeof place === 'string' ? place : undefined)
}

export type HeaderValues = Readonly<Record<string, string | string[] | undefined>>

/** More than this is no advice: an hour. */
const longestWait = 3600_000

/** Milliseconds that a server asks to wait: retry-after-ms, retry-after, and the limits that it says are used up. */
export function waitAsked(headers: HeaderValues, now = Date.now()): number | undefined {
  const value = (name: string) => {
    const found = headers[name]
    return Array.isArray(found) ? found[0] : found
  }
  const milliseconds = Number(value('retry-after-ms') ?? Number.NaN)
  if (milliseconds >= 0) return Math.min(milliseconds, longestWait)
  const after = value('retry-after')
  if (after !== undefined) {
    const seconds = Number(after)
    const wait = Number.isFinite(seconds) ? seconds * 1000 : Date.parse(after) - now
    if (Number.isFinite(wait)) return Math.min(Math.max(0, wait), longestWait)
  }
  const waits = ['requests', 'tokens'].flatMap((what) => {
    const left = value(`x-ratelimit-remaining-${what}`)
    const reset = value(`x-ratelimit-reset-${what}`)
    if (reset === undefined || (left !== undefined && Number(left) > 0)) return []
    const wait = durationOf(reset, now)
    return wait === undefined ? [] : [wait]
  })
  return waits.length > 0 ? Math.min(Math.max(...waits), longestWait) : undefined
}

/** "1m2.5s", "250ms", "17" seconds, or a time. */
function durationOf(text: string, now: number): number | undefined {
  const seconds = Number(text)
  if (text.trim() !== '' && Number.isFinite(seconds))
    return seconds > 1e9 ? Math.max(0, seconds * 1000 - now) : seconds * 1000
  const units = { h: 3600_000, m: 60_000, s: 1000, ms: 1 } as const
  const parts = [...text.matchAll(/(\d+(?:\.\d+)?)(ms|h|m|s)/g)]
  if (parts.length > 0 && parts.map(([part]) => part).join('') === text.trim()) {
    return parts.reduce((total, [, number, unit]) => total + Number(number) * units[unit as keyof typeof units], 0)
  }
  const time = Date.parse(text)
  return Number.isFinite(time) ? Math.max(0, time - now) : undefined
}

const isRecord = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value)
