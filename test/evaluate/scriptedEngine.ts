import type { Engine, Generation, GenerationRequest, Sampling } from '../../lib/engines/generation.js'
import { BranchMergeError } from '../../lib/errors.js'
import type { Benchmark } from '../../lib/evaluate/benchmarks/benchmark.js'
import type { Question } from '../../lib/questions/question.js'

/** What an engine of the tests answers: a text, or an error. */
export type Answer = (request: GenerationRequest, call: number) => string | Error | Promise<string | Error>

export const sampling: Sampling = {
  temperature: 0.6,
  topP: 0.95,
  topK: 0,
  minP: 0,
  repetitionPenalty: 1,
  presencePenalty: 0,
  frequencyPenalty: 0,
  maxTokens: 100,
  stop: [],
}

export interface ScriptedEngine extends Engine {
  calls: GenerationRequest[]
  /** Most requests that were in flight at the same time. */
  most: number
  closed: boolean
}

export function scriptedEngine(answer: Answer, { model = 'scripted', concurrency = 4 } = {}): ScriptedEngine {
  let inFlight = 0
  const engine: ScriptedEngine = {
    calls: [],
    most: 0,
    closed: false,
    identity: { kind: 'chat', model, details: {} },
    description: {},
    concurrency,
    async generate(request): Promise<Generation> {
      const call = engine.calls.push(request)
      request.onStart?.()
      inFlight++
      engine.most = Math.max(engine.most, inFlight)
      try {
        await new Promise(setImmediate)
        if (request.signal?.aborted) throw new BranchMergeError('ERR_CANCELLED', 'aborted')
        const text = await answer(request, call)
        if (text instanceof Error) throw text
        const tokens = text.split(' ').length
        request.onTokens?.(tokens)
        return {
          text,
          reasoning: null,
          thinkOpened: false,
          finish: 'stop',
          usage: { promptTokens: 10, completionTokens: tokens, exact: true },
          times: { first: 1, last: 2 },
          attempts: 1,
          maxTokens: request.sampling.maxTokens,
          server: 'scripted',
        }
      } finally {
        inFlight--
      }
    },
    countTokens: async () => 10,
    close() {
      engine.closed = true
      return Promise.resolve()
    },
  }
  return engine
}

/** Questions "n + n?" whose answer is the number. */
export function sums(count: number, change: Partial<Benchmark> = {}): Benchmark {
  const questions = Array.from({ length: count }, (_, n): Question => {
    const right = `${2 * n}`
    return {
      id: `q${n}`,
      text: `${n} + ${n}?`,
      labels: { parity: n % 2 ? 'odd' : 'even' },
      prompt: () => ({ messages: [{ role: 'user', content: `${n} + ${n}?` }] }),
      reference: right,
      grade({ answer }) {
        const status = answer === right ? 'correct' : 'wrong'
        return Promise.resolve({ status, extracted: answer, rule: 'whole text' })
      },
    }
  })
  return {
    name: 'sums',
    kind: 'custom',
    profile: 'strict',
    version: 'sums/strict@1',
    files: [{ path: 'sums.jsonl', sha256: '0'.repeat(64) }],
    questions,
    trials: 1,
    sampling: {},
    needsPrograms: false,
    confidential: false,
    notes: [],
    ...change,
  }
}

/** Answers the sum in a prompt. */
export function add({ prompt }: GenerationRequest): string {
  const text = prompt.messages?.[0]?.content ?? ''
  const [, a, b] = /(\d+) \+ (\d+)/.exec(text) ?? []
  return `${Number(a) + Number(b)}`
}
