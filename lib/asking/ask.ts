import { setMaxListeners } from 'node:events'
import type { Engine, Generation, Prompt, Sampling } from '../engines/generation.js'
import { BranchMergeError } from '../errors.js'
import type { Budget } from './budget.js'
import { promptBound } from './promptBound.js'
import type { StoredAnswer, StoredFailure } from './records.js'

/** So many requests that fail one after another, with no answer between them, end a model's turn: its server is gone. */
const maxFailuresInARow = 8

/** One answer that is wanted. */
export interface AskedTask {
  /** By whose price it is paid. */
  model: string
  prompt: Prompt
  requestSeed: number
  key: string
}

/** Where tasks come from: the next one, once there is one, or undefined when there will be none. */
export interface TaskSource<T> {
  next(): T | undefined | Promise<T | undefined>
}

export interface Asked {
  answered: number
  failed: number
  /** Of the last request that failed. */
  failure: BranchMergeError | undefined
}

export interface AskOptions<T extends AskedTask, P extends object> {
  engine: Engine
  sampling: (task: T) => Sampling
  budget: Budget
  /** Tokens that the budget must hold back are counted only where there is one. */
  limited: boolean
  /** Whether so many answers may be on their way; what grades them may fall behind. */
  ready: () => Promise<void>
  /** What a record says of its task beside the key. */
  place: (task: T) => P
  store: (record: (StoredAnswer & P) | (StoredFailure & P), task: T) => Promise<void>
  onTokens: (tokens: number) => void
  /** Ends all at once. */
  signal: AbortSignal
  /** Ends the asking; answers that are on their way are waited for. */
  stop: AbortSignal
}

/**
 * Asks for answers, as many at a time as the engine can use, and stores each as it comes. A request that fails is stored as
 * failed and leaves the others alone.
 *
 * @throws what `store` throws; ERR_BUDGET; ERR_ENGINE when request after request fails; the signal's reason
 */
export async function askAll<T extends AskedTask, P extends object>(
  tasks: TaskSource<T>,
  options: AskOptions<T, P>,
): Promise<Asked> {
  const { engine, signal, stop } = options
  const asked: Asked = { answered: 0, failed: 0, failure: undefined }
  let inARow = 0
  // Whatever ends the asking early ends what is in flight, but for `stop`.
  const ended = new AbortController()
  const either = AbortSignal.any([signal, ended.signal])
  // Every request that is on its way listens.
  setMaxListeners(0, either, stop)
  const inFlight = new Set<Promise<void>>()
  const askOne = async (task: T) => {
    const record = await ask(task, options, either)
    if (record === undefined) return
    if (record.error) {
      asked.failed++
      inARow++
      asked.failure = new BranchMergeError(record.error.code as 'ERR_ENGINE', record.error.message)
    } else {
      asked.answered++
      inARow = 0
    }
    await options.store(record, task)
    if (inARow >= maxFailuresInARow) throw asked.failure as BranchMergeError
  }
  try {
    for (;;) {
      // Twice what the engine works on, so that it never waits for us; it queues the rest.
      while (inFlight.size >= 2 * engine.concurrency) await Promise.race(inFlight)
      await options.ready()
      signal.throwIfAborted()
      if (stop.aborted) break
      const task = await unlessAborted(tasks.next(), [either, stop])
      if (task === undefined) break
      const one: Promise<void> = askOne(task).finally(() => inFlight.delete(one))
      inFlight.add(one)
      // Its failure is seen by whoever waits for it; until then it is no unhandled one.
      one.catch(() => {})
      failEarly(one, ended)
      if (ended.signal.aborted) break
    }
    await Promise.all(inFlight)
    either.throwIfAborted()
  } catch (error) {
    ended.abort(error)
    await Promise.allSettled(inFlight)
    throw signal.aborted ? signal.reason : error
  }
  return asked
}

function failEarly(one: Promise<void>, ended: AbortController): void {
  one.catch((error) => ended.abort(error))
}

/** The value, or undefined when a signal is aborted before it is there. */
async function unlessAborted<T>(value: T | Promise<T>, signals: readonly AbortSignal[]): Promise<T | undefined> {
  if (!(value instanceof Promise)) return value
  let end = () => {}
  const aborted = new Promise<undefined>((resolve) => {
    end = () => resolve(undefined)
  })
  for (const signal of signals) {
    signal.addEventListener('abort', end, { once: true })
    if (signal.aborted) end()
  }
  try {
    return await Promise.race([value, aborted])
  } finally {
    for (const signal of signals) signal.removeEventListener('abort', end)
  }
}

/** Undefined when it was not asked: asking has ended. */
async function ask<T extends AskedTask, P extends object>(
  task: T,
  { engine, sampling: samplingOf, budget, limited, onTokens, place, stop }: AskOptions<T, P>,
  signal: AbortSignal,
): Promise<(StoredAnswer & P) | (StoredFailure & P) | undefined> {
  const sampling = samplingOf(task)
  const { prompt, model } = task
  const counted = limited ? await engine.countTokens(prompt) : 0
  const bound = limited ? (counted ?? promptBound(prompt)) : 0
  const release = await budget.reserve(model, bound, limited ? sampling.maxTokens : 0, signal)
  if (stop.aborted) {
    release()
    return undefined
  }
  const asked = new Date().toISOString()
  let tokens = 0
  const turn = untilStarted(signal, stop)
  try {
    const generation = await engine.generate({
      prompt,
      sampling,
      seed: task.requestSeed,
      signal: turn.signal,
      onStart: turn.started,
      onTokens(count) {
        onTokens(count - tokens)
        tokens = count
      },
    })
    const { promptTokens, completionTokens } = generation.usage
    release({ prompt: promptTokens ?? counted ?? bound, completion: completionTokens ?? tokens })
    return { ...answerHead(task, place(task)), ...answerOf(task, generation, asked) }
  } catch (error) {
    // What it used of the server before it failed is not known beyond what came.
    release({ prompt: 0, completion: tokens })
    if (signal.aborted) throw signal.reason
    if (turn.signal.aborted) return undefined
    if (!(error instanceof BranchMergeError)) throw error
    return { ...answerHead(task, place(task)), error: { code: error.code, message: error.message }, times: { asked } }
  } finally {
    turn.over()
  }
}

/** A signal that `stop` aborts as well, but only as long as nobody works on the request. */
function untilStarted(signal: AbortSignal, stop: AbortSignal) {
  const controller = new AbortController()
  const end = () => controller.abort(signal.reason)
  const withdraw = () => controller.abort(stop.reason)
  signal.addEventListener('abort', end, { once: true })
  stop.addEventListener('abort', withdraw, { once: true })
  const started = () => stop.removeEventListener('abort', withdraw)
  const over = () => {
    signal.removeEventListener('abort', end)
    started()
  }
  if (signal.aborted) end()
  return { signal: controller.signal, started, over }
}

const answerHead = <P extends object>({ key }: AskedTask, place: P) => ({ v: 1 as const, key, ...place })

function answerOf(
  { prompt, requestSeed }: AskedTask,
  generation: Generation,
  asked: string,
): Omit<StoredAnswer, 'v' | 'key'> {
  const { text, reasoning, thinkOpened, finish, usage, times, attempts, maxTokens, server } = generation
  const tokens = { prompt: usage.promptTokens, completion: usage.completionTokens, exact: usage.exact }
  const answer = { text, reasoning, thinkOpened, finish, tokens, times: { asked, ...times } }
  return { prompt, requestSeed, ...answer, attempts, maxTokens, server }
}
