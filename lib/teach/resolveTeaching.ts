import { readFileSync } from 'node:fs'
import { dirname } from 'node:path'
import type { ValidateFunction } from 'ajv/dist/2020.js'
import type { RequestLimits } from '../asking/budget.js'
import { paperSampling } from '../asking/paperSampling.js'
import { type ResolvedModel, resolveModel } from '../asking/resolveModel.js'
import type { Sampling } from '../engines/generation.js'
import { BranchMergeError } from '../errors.js'
import { placeFromFile } from '../hub/hubName.js'
import { pathFromFile } from '../pathFromFile.js'
import { graderNames } from '../questions/customQuestion.js'
import { applyOverrides, locateWith, type Override } from '../recipe/overrides.js'
import { Problems } from '../recipe/problems.js'
import type { RecipeDocument } from '../recipe/recipe.js'
import { compileSchema, schemaProblems } from '../recipe/schemaProblems.js'
import type { SandboxOptions } from '../sandbox/sandboxOptions.js'
import { quality as qualityStep } from '../select/quality/quality.js'
import type { QualityOptions } from '../select/quality/qualityOptions.js'
import { nearestName } from '../validate.js'
import type { BatchTeacher, ReasoningForm, TeachingOptions } from './teachingOptions.js'

/** Who teaches: `spec` is undefined where nothing but the name is known, which only batch files can ask. */
export type ResolvedTeacher = Omit<ResolvedModel, 'spec'> & { spec: ResolvedModel['spec'] | undefined }

/** How many answers to a question are asked for. */
export interface Quota {
  /** Answers at most. */
  attempts: number
  /** Answers that are wanted among them; undefined where all are asked for. */
  untilCorrect: number | undefined
}

/** A teaching whose every choice is made. */
export interface ResolvedTeaching {
  questions: string
  teacher: ResolvedTeacher
  out: string
  quota: Quota
  limit: number | undefined
  grader: string | undefined
  quality: QualityOptions | undefined
  tokenizer: string | undefined
  reasoning: ReasoningForm
  seed: number
  sampling: Sampling
  limits: RequestLimits
  sandbox: SandboxOptions
}

const defaultAttempts = 8

let compiled: ValidateFunction | undefined

/** recipes/teaching.schema.json, which shares models and sampling with evaluations, and quality with selections. */
function validator(): ValidateFunction {
  const read = (name: string) =>
    JSON.parse(readFileSync(new URL(`../../recipes/${name}`, import.meta.url), 'utf8')) as object
  const shared = ['evaluation.schema.json', 'selection.schema.json']
  compiled ??= compileSchema(read('teaching.schema.json'), Object.fromEntries(shared.map((name) => [name, read(name)])))
  return compiled
}

/**
 * Checks a teaching and settles its defaults. Reads no file and asks no server. Paths start from the directory of the file.
 *
 * @throws ERR_RECIPE with everything that is wrong, each problem with its line
 */
export function resolveTeaching(document: RecipeDocument, overrides: readonly Override[] = []): ResolvedTeaching {
  const given = applyOverrides(document.value, overrides)
  const problems = new Problems(document.file ?? 'The teaching', locateWith(document.locate, overrides))
  schemaProblems(validator(), given, problems, { subject: 'the teaching' })
  problems.throwIfAny()
  const teaching = given as unknown as TeachingOptions
  const directory = document.file === undefined ? '.' : dirname(document.file)
  checkQuota(teaching, problems)
  checkGrader(teaching, problems)
  if (teaching.quality) {
    const facts = { labels: [], hasTokenizer: teaching.tokenizer !== undefined }
    qualityStep.check?.(teaching.quality, problems, ['quality'], facts)
  }
  const teacher = resolveTeacher(teaching.teacher, directory, problems)
  if (teacher && teaching.limits?.cost !== undefined && !teacher.price) {
    problems.add(['teacher'], 'Expected a price of the teacher, as limits.cost needs it: 0 where it costs nothing')
  }
  problems.throwIfAny()
  return {
    questions: placeFromFile(teaching.questions, directory, 'dataset'),
    teacher: teacher as ResolvedTeacher,
    out: pathFromFile(teaching.out, directory),
    quota: quotaOf(teaching),
    limit: teaching.limit,
    grader: teaching.grader,
    quality: teaching.quality,
    tokenizer: teaching.tokenizer === undefined ? undefined : placeFromFile(teaching.tokenizer, directory, 'model'),
    reasoning: teaching.reasoning ?? 'think',
    seed: teaching.seed ?? 0,
    sampling: { ...paperSampling, ...teaching.sampling },
    limits: teaching.limits ?? {},
    sandbox: teaching.sandbox ?? {},
  }
}

const quotaOf = ({ answers = 1, untilCorrect, attempts }: TeachingOptions): Quota =>
  untilCorrect === undefined
    ? { attempts: answers, untilCorrect }
    : { attempts: attempts ?? Math.max(defaultAttempts, untilCorrect), untilCorrect }

function checkQuota({ answers, untilCorrect, attempts }: TeachingOptions, problems: Problems): void {
  if (answers !== undefined && untilCorrect !== undefined) {
    problems.add(['answers'], 'Expected answers or untilCorrect, not both', { key: true })
  }
  if (attempts === undefined) return
  if (untilCorrect === undefined) {
    const message = 'Expected attempts only beside untilCorrect: answers says how many are asked for'
    problems.add(['attempts'], message, { key: true })
  } else if (attempts < untilCorrect) {
    problems.add(['attempts'], `Expected attempts of untilCorrect (${untilCorrect}) or more but received ${attempts}`)
  }
}

function checkGrader({ grader }: TeachingOptions, problems: Problems): void {
  if (grader === undefined || graderNames.includes(grader)) return
  const near = nearestName(grader, graderNames)
  const advice = near ? `did you mean ${near}?` : `expected one of ${graderNames.join(', ')}`
  problems.add(['grader'], `There is no grader ${JSON.stringify(grader)}: ${advice}`)
}

const isBatchTeacher = (given: TeachingOptions['teacher']): given is BatchTeacher =>
  typeof given === 'object' &&
  'model' in given &&
  given.model !== undefined &&
  Object.keys(given).every((key) => key === 'model' || key === 'price')

function resolveTeacher(
  given: TeachingOptions['teacher'],
  directory: string,
  problems: Problems,
): ResolvedTeacher | undefined {
  if (isBatchTeacher(given)) return { name: given.model, place: given.model, spec: undefined, price: given.price }
  try {
    return resolveModel('teacher', given, directory)
  } catch (error) {
    if (!(error instanceof BranchMergeError)) throw error
    problems.add(['teacher'], error.message)
    return undefined
  }
}
