import { basename, dirname, join, resolve } from 'node:path'
import { BranchMergeError } from '../errors.js'
import { realOrFuturePath } from '../files/outputDirectory.js'
import { isHubName } from '../hub/hubName.js'
import { pathFromFile } from '../pathFromFile.js'
import { readRecipe } from '../recipe/readRecipe.js'
import type { Recipe, RecipeDocument } from '../recipe/recipe.js'
import { checkFunction, checkObject, checkPath, invalidArgument } from '../validate.js'
import { KnownHashes } from './output/inputContent.js'
import { hasHubModels } from './plan/hubModels.js'
import { type MergeOptions, type MergeRequest, resolveExecution, resolveMergeRequest } from './plan/mergeRequest.js'
import { executeTogether, type PlanResult } from './run/executeTogether.js'
import { type MergeSummary, summariseMerge } from './run/mergeResult.js'
import { prepare } from './run/session.js'
import { type Candidate, canJoin, type Pass } from './run/shareReads.js'

/** Options of every merge of a batch. */
export interface BatchOptions extends Omit<MergeOptions, 'out'> {
  /** Directory that gets a directory for each recipe, by the name of its file. Default: each recipe's `output.path`. */
  out?: string | undefined
  /** Called when a recipe is done, failed or skipped. */
  onRecipe?: ((result: BatchResult) => void) | undefined
}

/** What became of one recipe. */
export interface BatchResult {
  file: string
  /** 'skipped': the output was there already, from the same recipe and inputs. */
  status: 'done' | 'skipped' | 'failed'
  out?: string
  /** Number of the pass over the inputs that merged it; recipes of one pass have read them together. */
  pass?: number
  /** What a pass has read is in `bytesRead` of its first recipe. */
  summary?: MergeSummary
  error?: { code: string; message: string }
}

/** A recipe that is not yet done: what it asks for, or why that cannot be told. */
interface Waiting {
  file: string
  position: number
  request: MergeRequest | BranchMergeError
}

/**
 * Runs recipes in their order; one that reads the same models as an earlier one joins it, so that both read them once. One
 * that fails does not stop the others; one whose output is there is skipped. Paths of `models` go to the recipes that declare
 * a model of that name.
 *
 * @returns a result for each file, in their order
 * @throws ERR_INVALID_ARGUMENT for options, and for recipes that write to one place; the signal's reason after an abort
 */
export async function batch(files: readonly string[], options: BatchOptions = {}): Promise<BatchResult[]> {
  if (!Array.isArray(files) || files.length === 0) throw invalidArgument('a list of recipe files', 'files', files)
  checkObject(options, 'options')
  const { onRecipe, ...merges } = options
  checkFunction(onRecipe, 'onRecipe')
  resolveExecution(merges) // what is wrong with every recipe is told once
  if (options.out !== undefined) checkPath(options.out, 'out')
  return await new Batch(options).run(files)
}

class Batch {
  private readonly options: Omit<BatchOptions, 'onRecipe'>
  private readonly onRecipe: BatchOptions['onRecipe']
  private readonly results: BatchResult[] = []
  /** Recipes that are finished are mostly of the same models: these are read once to know it. */
  private readonly known = new KnownHashes()
  private passes = 0

  constructor({ onRecipe, ...options }: BatchOptions) {
    this.options = options
    this.onRecipe = onRecipe
  }

  async run(files: readonly string[]): Promise<BatchResult[]> {
    const waiting: Waiting[] = []
    for (const [position, file] of files.entries()) {
      const request = await this.attempt(() => this.request(checkPath(file, 'files')))
      waiting.push({ file, position, request })
    }
    await refuseSharedOutputs(waiting)
    await this.findResults(waiting)
    for (let next = waiting.shift(); next; next = waiting.shift()) {
      const prepared = await this.prepare(next)
      if ('status' in prepared) this.tell(next, prepared)
      else await this.runPass(await this.companions(prepared, waiting))
    }
    return this.results
  }

  /** Models that are results of this batch: they are not there yet, and `batch/first` looks like a name on the Hub until then. */
  private async findResults(waiting: readonly Waiting[]): Promise<void> {
    const outs = waiting.flatMap(({ request }) =>
      request instanceof BranchMergeError ? [] : [resolve(request.run.out)],
    )
    const results = new Set(outs)
    for (const each of waiting) {
      if (each.request instanceof BranchMergeError || !hasHubModels(each.request)) continue
      each.request = await this.attempt(() => this.request(each.file, results))
    }
  }

  private async request(file: string, results: ReadonlySet<string> = new Set()): Promise<MergeRequest> {
    const recipe = await readRecipe(file)
    const { out, modelDtypes } = this.options
    const models = { ...resultsIn(recipe, results), ...asResults(this.options.models, results) }
    const own = out === undefined ? {} : { out: join(out, basename(file).replace(/\.\w+$/, '')) }
    return resolveMergeRequest(recipe, {
      ...this.options,
      ...own,
      models: ofRecipe(recipe, models),
      modelDtypes: ofRecipe(recipe, modelDtypes),
    })
  }

  /** The plan of a recipe that is to be run now, or what became of it. */
  private async prepare(waiting: Waiting): Promise<Candidate<Waiting> | Pick<BatchResult, 'status' | 'out' | 'error'>> {
    const { request } = waiting
    if (request instanceof BranchMergeError) return failed(request)
    const session = await this.attempt(() => prepare(request, { known: this.known }))
    if (session instanceof BranchMergeError) return failed(session)
    const { plan, finished } = session
    return finished ? { status: 'skipped', out: request.run.out } : { of: waiting, plan }
  }

  /** Takes out of `waiting` what can be merged in the same pass. */
  private async companions(first: Candidate<Waiting>, waiting: Waiting[]): Promise<Pass<Waiting>> {
    const pass: Pass<Waiting> = { members: [first], passedOver: [] }
    for (const each of [...waiting]) {
      const { request } = each
      if (request instanceof BranchMergeError) continue
      const joins = await canJoin(pass, request, async () => {
        const prepared = await this.prepare(each)
        return 'status' in prepared ? undefined : prepared
      })
      if (joins) {
        pass.members.push(joins)
        waiting.splice(waiting.indexOf(each), 1)
      } else pass.passedOver.push(request.run.out)
    }
    return pass
  }

  private async runPass({ members }: Pass<Waiting>): Promise<void> {
    const started = performance.now()
    const pass = ++this.passes
    const plans = members.map(({ plan }) => plan)
    await executeTogether(plans, (position, result) => {
      const { of, plan } = members[position] as Candidate<Waiting>
      this.tell(of, { pass, ...this.resultOf(plan, result, started) })
    })
  }

  private resultOf(
    plan: Candidate<Waiting>['plan'],
    result: PlanResult,
    started: number,
  ): Omit<BatchResult, 'file' | 'pass'> {
    if ('error' in result) return failed(result.error)
    return { status: 'done', out: plan.run.out, summary: summariseMerge(plan, result.outcome, started) }
  }

  private tell({ file, position }: Waiting, result: Omit<BatchResult, 'file'>): void {
    const whole = { file, ...result }
    this.results[position] = whole
    this.onRecipe?.(whole)
  }

  /** A failure of a recipe is its result; an abort, or what nobody expects, is not. */
  private async attempt<T>(step: () => Promise<T>): Promise<T | BranchMergeError> {
    try {
      return await step()
    } catch (error) {
      this.options.signal?.throwIfAborted()
      if (error instanceof BranchMergeError) return error
      throw error
    }
  }
}

/** The later one would take the place of the earlier one's result. @throws ERR_INVALID_ARGUMENT */
async function refuseSharedOutputs(waiting: readonly Waiting[]): Promise<void> {
  const writers = new Map<string, string>()
  for (const { file, request } of waiting) {
    if (request instanceof BranchMergeError) continue
    const { out } = request.run
    const path = await realOrFuturePath(out)
    const other = writers.get(path)
    if (other !== undefined && resolve(other) !== resolve(file)) {
      throw new BranchMergeError(
        'ERR_INVALID_ARGUMENT',
        `Expected an output of its own for each recipe but ${other} and ${file} both write to ${out}: rename one of the files, ` +
          'or leave out out (--out) and give each recipe its output.path',
      )
    }
    writers.set(path, file)
  }
}

const failed = ({ code, message }: BranchMergeError) => ({ status: 'failed', error: { code, message } }) as const

/** What is given for models that the recipe declares; all where it declares none. */
function ofRecipe<T>({ value }: RecipeDocument, byModel: Readonly<Record<string, T>> | undefined): Record<string, T> {
  const declared = (value as Recipe | null)?.models
  const given = Object.entries(byModel ?? {})
  return Object.fromEntries(declared ? given.filter(([name]) => Object.hasOwn(declared, name)) : given)
}

/** Models of a recipe whose places are results. */
function resultsIn({ value, file }: RecipeDocument, results: ReadonlySet<string>): Record<string, string> {
  const directory = file === undefined ? '.' : dirname(file)
  const declared = Object.entries((value as Recipe | null)?.models ?? {})
  return Object.fromEntries(
    declared.flatMap(([name, model]) => {
      const text: unknown = typeof model === 'string' ? model : model?.path
      if (typeof text !== 'string' || isHubName(text)) return []
      const path = resolve(pathFromFile(text, directory))
      return results.has(path) ? [[name, path]] : []
    }),
  )
}

/** Places that were given, those of results so that they are no names on the Hub. */
function asResults(given: Readonly<Record<string, string>> | undefined, results: ReadonlySet<string>) {
  return Object.fromEntries(
    Object.entries(given ?? {}).map(([name, text]) => {
      const path = resolve(text)
      return [name, results.has(path) ? path : text]
    }),
  )
}
