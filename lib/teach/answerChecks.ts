import { createHash } from 'node:crypto'
import { digest } from '../asking/keys.js'
import { readTokenizerFiles } from '../checkpoint/tokenizerFiles.js'
import { unusableCharacters } from '../data/parseJson.js'
import { type Completion, splitCompletion } from '../grading/completion.js'
import type { GradeContext } from '../questions/question.js'
import { QualityJudge } from '../select/quality/judge.js'
import type { Decision, RejectionReason, TaughtAnswer } from './records.js'
import type { ResolvedTeaching } from './resolveTeaching.js'
import type { TeachingQuestion } from './teachingQuestions.js'

/** Of all checks beside the question's own: changes when any of them does. */
const checksVersion = 'answers@1'

/** Decides what becomes of answers: by their form, by the question's grader, and by what quality the user asks for. */
export class AnswerChecks {
  private constructor(
    private readonly judge: QualityJudge | undefined,
    private readonly version: string,
  ) {}

  /** @throws ERR_FILE_READ, ERR_TOKENIZER */
  static async open({ quality, tokenizer }: Pick<ResolvedTeaching, 'quality' | 'tokenizer'>): Promise<AnswerChecks> {
    if (!quality) return new AnswerChecks(undefined, checksVersion)
    const files = quality.length && tokenizer !== undefined ? await readTokenizerFiles(tokenizer) : undefined
    const counted = files && createHash('sha256').update(files.tokenizer).digest('hex')
    const version = `${checksVersion} ${digest({ quality, tokenizer: counted }).slice(0, 16)}`
    return new AnswerChecks(new QualityJudge(quality, files), version)
  }

  /** By which checks the answers to a question are judged: they are judged again when it is another. */
  versionFor({ checks }: Pick<TeachingQuestion, 'checks'>): string {
    return `${this.version} ${checks}`
  }

  /** What becomes of an answer, and what was taken as the answer in it. */
  async check(
    answer: TaughtAnswer,
    { grade }: Pick<TeachingQuestion, 'grade'>,
    context: GradeContext,
  ): Promise<Decision & { extracted: string | null }> {
    const completion = splitCompletion(answer)
    const formal = formalDecision(answer, completion)
    if (formal) return { ...formal, extracted: null }
    const { extracted, ...graded } = await gradedDecision(completion, grade, context)
    const isAccepted = graded.decision === 'accepted'
    return { ...((isAccepted && this.qualityDecision(answer, completion)) || graded), extracted }
  }

  /** Undefined where nothing is wrong with it. */
  private qualityDecision({ prompt, finish }: TaughtAnswer, completion: Completion): Decision | undefined {
    const { reasoning, answer, closed } = completion
    const question = prompt.messages?.findLast(({ role }) => role === 'user')?.content ?? ''
    const judged = { reasoning: reasoning === '' ? undefined : reasoning, text: answer, closed, finish }
    const judgement = this.judge?.judge({ question, answers: [judged] })
    const found = judgement?.question ?? judgement?.answers[0]
    return found && rejected(found.reason, found.detail)
  }
}

async function gradedDecision(
  completion: Completion,
  grade: TeachingQuestion['grade'],
  context: GradeContext,
): Promise<Decision & { extracted: string | null }> {
  if (!grade) return { decision: 'accepted', verdict: 'unchecked', extracted: null }
  const { status, extracted, rule, detail } = await grade(completion, context)
  if (status === 'correct') return { decision: 'accepted', verdict: 'correct', extracted }
  if (status === 'truncated') return { decision: 'truncated', extracted }
  const reasons = { wrong: 'wrong-answer', 'no-answer': 'no-answer', unsupported: 'unverifiable' } as const
  const words = [extracted === null ? undefined : `${extracted} by ${rule}`, detail].filter(
    (each) => each !== undefined,
  )
  return { ...rejected(reasons[status], words.join(': ') || rule), extracted }
}

/** What the form of an answer decides; undefined where it is whole. */
function formalDecision({ finish }: TaughtAnswer, completion: Completion): Decision | undefined {
  const { reasoning, answer, closed, full } = completion
  if (completion.truncated) return { decision: 'truncated' }
  if (finish !== 'stop') return rejected('finish-reason', finish)
  if (!closed) return rejected('reasoning-unclosed', 'the answer ends within its reasoning')
  if (answer.trim() === '') return rejected('answer-empty', reasoning === '' ? 'no text' : 'reasoning alone')
  if (/<\/?think>/.test(reasoning) || /<\/?think>/.test(answer)) {
    return rejected('tags-in-reasoning', 'a tag of reasoning stands within the reasoning or the answer')
  }
  if (unusableCharacters.test(full))
    return rejected('unusable-characters', 'half of a surrogate pair, U+FDD0 or U+FDD1')
  return undefined
}

const rejected = (reason: RejectionReason | (string & {}), detail: string): Decision => ({
  decision: 'rejected',
  reason,
  detail,
})
