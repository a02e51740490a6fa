import type { TokenizerFiles } from '../../checkpoint/tokenizerFiles.js'
import { TextTokenizer } from '../../data/tokenizer.js'
import type { Answer, Candidate } from '../candidate.js'
import type { Rejection } from '../step.js'
import { defaultForeignShare, defaultLimits, type QualityOptions, type TokenRange } from './qualityOptions.js'
import { refusalIn } from './refusals.js'
import { measureRepetition, runLength } from './repetition.js'
import { countScripts } from './scripts.js'

/** What is judged of a row. */
export type Judged = Pick<Candidate, 'question'> & {
  answers: readonly Pick<Answer, 'reasoning' | 'text' | 'closed' | 'finish'>[]
}

/** Why the row is no good whatever its answers are, or why each answer is not. */
export interface Judgement {
  question: Rejection | undefined
  answers: (Rejection | undefined)[]
}

/** Judges answers one by one; the first check that fails gives the reason. */
export class QualityJudge {
  private readonly tokenizer: TextTokenizer | undefined

  /** @throws ERR_TOKENIZER */
  constructor(
    private readonly options: QualityOptions,
    files: TokenizerFiles | undefined,
  ) {
    this.tokenizer = files && new TextTokenizer(files)
  }

  judge({ question, answers }: Judged): Judgement {
    const text = new CountedText(question, this.tokenizer)
    const ofQuestion = lengthProblem('question', [text], this.options.length?.question)
    if (ofQuestion) return { question: ofQuestion, answers: [] }
    const own =
      this.options.languages === undefined ? new Set<string>() : new Set(countScripts(question).scripts.keys())
    return { question: undefined, answers: answers.map((answer) => this.judgeAnswer(answer, text, own)) }
  }

  private judgeAnswer(
    answer: Judged['answers'][number],
    question: CountedText,
    scripts: ReadonlySet<string>,
  ): Rejection | undefined {
    const { finish, refusals } = this.options
    if (finish && !finish.includes(answer.finish ?? '')) {
      return { reason: 'finish', detail: answer.finish === undefined ? 'it does not say' : `it is ${answer.finish}` }
    }
    return (
      this.completeness(answer) ??
      (refusals ? refusal(answer.text) : undefined) ??
      this.lengths(answer, question) ??
      this.repetition(answer) ??
      this.languages(answer, scripts)
    )
  }

  private completeness({ reasoning, text, closed }: Judged['answers'][number]): Rejection | undefined {
    if (!closed) return { reason: 'reasoning-unclosed', detail: 'the reasoning never ends' }
    if (text.trim() === '') return { reason: 'answer-empty', detail: '' }
    if (this.options.reasoning !== 'required') return undefined
    if (reasoning === undefined) return { reason: 'reasoning-missing', detail: '' }
    return reasoning.trim() === '' ? { reason: 'reasoning-empty', detail: '' } : undefined
  }

  private lengths({ reasoning = '', text }: Judged['answers'][number], question: CountedText): Rejection | undefined {
    const { length } = this.options
    if (!length) return undefined
    const [thought, answer] = [new CountedText(reasoning, this.tokenizer), new CountedText(text, this.tokenizer)]
    return (
      lengthProblem('reasoning', [thought], length.reasoning) ??
      lengthProblem('answer', [answer], length.answer) ??
      lengthProblem('whole', [question, thought, answer], length.whole)
    )
  }

  /** Of reasoning and answer by themselves: a solution repeats what its reasoning found. */
  private repetition({ reasoning = '', text }: Judged['answers'][number]): Rejection | undefined {
    const { repetition } = this.options
    if (!repetition) return undefined
    const limits = { ...defaultLimits, ...(repetition === true ? {} : repetition) }
    for (const [name, part] of [
      ['reasoning', reasoning],
      ['answer', text],
    ] as const) {
      const { repeated, lines, loop } = measureRepetition(part)
      if (loop && loop.words >= limits.loop) {
        const rounds = Math.floor(loop.words / loop.period)
        return { reason: 'repetition-loop', detail: `the ${name} ends with ${words(loop.period)} ${rounds} times` }
      }
      if (repeated > limits.runs) {
        const detail = `${percent(repeated)} of the runs of ${runLength} words in the ${name} stood there before`
        return { reason: 'repetition-runs', detail }
      }
      if (lines > limits.lines) {
        return {
          reason: 'repetition-lines',
          detail: `${percent(lines)} of the ${name} are lines that stood there before`,
        }
      }
    }
    return undefined
  }

  private languages(
    { reasoning = '', text }: Judged['answers'][number],
    own: ReadonlySet<string>,
  ): Rejection | undefined {
    const { languages } = this.options
    if (!languages) return undefined
    const limit = (languages === true ? undefined : languages.share) ?? defaultForeignShare
    const [thought, answer] = [countScripts(reasoning), countScripts(text)]
    const letters = thought.letters + answer.letters
    let foreign = 0
    const names = new Set<string>()
    for (const { scripts } of [thought, answer]) {
      for (const [script, count] of scripts) {
        if (own.has(script)) continue
        foreign += count
        names.add(script)
      }
    }
    if (letters === 0 || foreign / letters <= limit) return undefined
    const detail = `${foreign} of ${letters} letters (${percent(foreign / letters)}) are ${[...names].join(', ')}`
    return { reason: 'mixed-languages', detail }
  }
}

function refusal(text: string): Rejection | undefined {
  const found = refusalIn(text)
  return found === undefined ? undefined : { reason: 'refusal', detail: JSON.stringify(found) }
}

function lengthProblem(
  name: string,
  texts: readonly CountedText[],
  range: TokenRange | undefined,
): Rejection | undefined {
  if (!range) return undefined
  const { min = 0, max = Number.POSITIVE_INFINITY } = range
  if (min === 0 && sum(texts, ({ bound }) => bound) <= max) return undefined
  const tokens = sum(texts, ({ count }) => count)
  if (tokens >= min && tokens <= max) return undefined
  const limit = tokens < min ? `at least ${min}` : `at most ${max}`
  return { reason: `length-${name}`, detail: `${tokens} tokens, ${limit} wanted` }
}

const sum = (texts: readonly CountedText[], of: (text: CountedText) => number): number =>
  texts.reduce((total, text) => total + of(text), 0)

const percent = (share: number): string => `${(100 * share).toFixed(1)} %`
const words = (count: number): string => (count === 1 ? 'a word' : `${count} words`)

/** Normal forms of Unicode make no more than 18 characters of one, of 3 bytes each; a character is 2 bytes and more in UTF-8. */
const mostBytesOfByte = 27

/** A space that some tokenizers put before a text. */
const leadingBytes = 3

/** A text whose tokens are counted once, when someone asks. */
class CountedText {
  private counted: number | undefined

  constructor(
    private readonly text: string,
    private readonly tokenizer: TextTokenizer | undefined,
  ) {}

  /** At least as many as its tokens, which are a byte and more each: most texts need not be cut into tokens to be short enough. */
  get bound(): number {
    const { length } = this.text
    const beyondAscii = Buffer.byteLength(this.text) - length
    return length + leadingBytes + 2 * mostBytesOfByte * beyondAscii
  }

  get count(): number {
    this.counted ??= this.tokenizer?.encode(this.text).length ?? 0
    return this.counted
  }
}
