import { BranchMergeError } from '../../errors.js'
import { opensReasoning } from '../promptRenderer.js'
import { type Clock, sleep } from './clock.js'
import { RequestFailure } from './failure.js'
import { type ModelServer, member, shortTimeouts } from './modelServer.js'
import type { ServerKind } from './parameters.js'

/** Milliseconds that a server may be down when it is first asked: whoever mistypes a port should hear of it soon. */
const startPatience = 5000
/** Milliseconds that it may say that it is not ready: it loads a model. */
const loadPatience = 600_000

/**
 * Asks a server what it is: its models, program, version and context.
 *
 * @throws ERR_ENGINE where it does not answer; the signal's reason after an abort
 */
export async function probeServer(
  server: ModelServer,
  asked: string | undefined,
  clock: Clock,
  signal: AbortSignal | undefined,
): Promise<string> {
  const listed = await listModels(server, clock, signal)
  server.models = listed.map(({ id }) => id)
  const model = asked ?? onlyModel(server)
  const entry = listed.find(({ id }) => id === model) ?? listed[0]
  server.kind = kindOf(entry?.ownedBy, server)
  if (entry?.maxModelLen !== undefined) server.contextLength = entry.maxModelLen
  await versionOf(server, signal)
  const end = await server.promptEnd(model, [{ role: 'user', content: 'Hello' }], signal)
  server.thinkOpened = end === undefined ? undefined : opensReasoning(end)
  return model
}

interface ListedModel {
  id: string
  ownedBy: string | undefined
  maxModelLen: number | undefined
}

async function listModels(server: ModelServer, clock: Clock, signal: AbortSignal | undefined): Promise<ListedModel[]> {
  const begun = clock.now()
  for (let pause = 250; ; pause = Math.min(2 * pause, 5000)) {
    try {
      const found = await server.transport.json(server.address, 'GET', 'models', { timeouts: shortTimeouts, signal })
      const data = member(found, 'data')
      return (Array.isArray(data) ? data : []).flatMap((entry: unknown): ListedModel[] => {
        const id = member(entry, 'id')
        if (typeof id !== 'string') return []
        const [ownedBy, length] = [member(entry, 'owned_by'), member(entry, 'max_model_len')]
        return [
          {
            id,
            ownedBy: typeof ownedBy === 'string' ? ownedBy : undefined,
            maxModelLen: typeof length === 'number' && length > 0 ? length : undefined,
          },
        ]
      })
    } catch (error) {
      if (!(error instanceof RequestFailure)) throw error
      const { kind, details } = error
      // Not every server lists its models.
      if (kind === 'refused' && details.status === 404 && !(await hasVersionPath(server, signal))) return []
      const waited = clock.now() - begun
      const isWorthIt = kind === 'busy' ? waited < loadPatience : kind !== 'refused' && waited < startPatience
      if (!isWorthIt) throw startFailure(server, error)
      await sleep(clock, details.wait ?? pause, signal)
    }
  }
}

/** Whether the base URL lacks the /v1 under which this server answers. @throws ERR_ENGINE then */
async function hasVersionPath(server: ModelServer, signal: AbortSignal | undefined): Promise<false> {
  const { pathname } = server.address.url
  if (/\/v\d+\/?$/.test(pathname)) return false
  const found = await server.ask('GET', `${pathname.replace(/\/+$/, '')}/v1/models`, signal)
  if (!Array.isArray(member(found, 'data'))) return false
  throw new BranchMergeError(
    'ERR_ENGINE',
    `Expected the base URL of a server but ${server.url} answers 404 to /models: write ${server.url.replace(/\/+$/, '')}/v1`,
  )
}

function startFailure(server: ModelServer, failure: RequestFailure): BranchMergeError {
  const { status } = failure.details
  const advice =
    failure.kind === 'down'
      ? '. Start the server, or check host and port.'
      : status === 401 || status === 403
        ? '. Pass the key with apiKey, or the variable that holds it with apiKeyVariable.'
        : ''
  return new BranchMergeError('ERR_ENGINE', `Cannot use the server ${server.url}: ${failure.message}${advice}`, {
    cause: failure,
  })
}

function onlyModel(server: ModelServer): string {
  const { models, url } = server
  if (models.length === 1) return models[0] as string
  throw new BranchMergeError(
    'ERR_ENGINE',
    models.length === 0
      ? `Expected the name of a model for ${url}, which lists none: write it behind the URL, ${url}#name`
      : `Expected the name of a model for ${url}, which serves ${models.slice(0, 10).join(', ')}` +
          `${models.length > 10 ? ` and ${models.length - 10} more` : ''}: write it behind the URL, ${url}#${models[0]}`,
  )
}

function kindOf(ownedBy: string | undefined, { address }: ModelServer): ServerKind {
  if (ownedBy === 'vllm' || ownedBy === 'sglang') return ownedBy
  if (ownedBy === 'llamacpp') return 'llama.cpp'
  if (ownedBy === 'library') return 'ollama'
  return ownedBy === 'deepseek' || address.url.hostname.endsWith('deepseek.com') ? 'deepseek' : 'other'
}

async function versionOf(server: ModelServer, signal: AbortSignal | undefined): Promise<void> {
  const text = (value: unknown): string | undefined => (typeof value === 'string' ? value : undefined)
  if (server.kind === 'vllm') server.version = text(member(await server.ask('GET', '/version', signal), 'version'))
  else if (server.kind === 'ollama')
    server.version = text(member(await server.ask('GET', '/api/version', signal), 'version'))
  else if (server.kind === 'sglang')
    server.version = text(member(await server.ask('GET', '/get_server_info', signal), 'version'))
  else if (server.kind === 'llama.cpp') {
    const properties = await server.ask('GET', '/props', signal)
    server.version = text(member(properties, 'build_info'))
    const length = member(member(properties, 'default_generation_settings'), 'n_ctx')
    if (typeof length === 'number' && length > 0) server.contextLength = length
  }
}

/** Ollama says how long the context is once it has loaded the model; what is longer it cuts without a word. */
export async function loadedContext(
  server: ModelServer,
  model: string,
  signal: AbortSignal | undefined,
): Promise<void> {
  if (server.kind !== 'ollama') return
  const loaded = member(await server.ask('GET', '/api/ps', signal), 'models')
  const entry = (Array.isArray(loaded) ? loaded : []).find((each) => {
    const name = member(each, 'name')
    return name === model || name === `${model}:latest`
  })
  const length = member(entry, 'context_length')
  if (typeof length === 'number' && length > 0) server.contextLength = length
}
