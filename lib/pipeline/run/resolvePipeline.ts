import { dirname, join, resolve, sep } from 'node:path'
import type { ValidateFunction } from 'ajv/dist/2020.js'
import { BranchMergeError } from '../../errors.js'
import { isHubName } from '../../hub/hubName.js'
import { jsonSchema } from '../../options/jsonSchema.js'
import { pathFromFile } from '../../pathFromFile.js'
import { applyOverrides, locateWith, type Override } from '../../recipe/overrides.js'
import { type Path, Problems } from '../../recipe/problems.js'
import { isRecipePath, readRecipe } from '../../recipe/readRecipe.js'
import { RecipeDocument } from '../../recipe/recipe.js'
import { compileSchema, schemaProblems } from '../../recipe/schemaProblems.js'
import { isMapping, nearestName } from '../../validate.js'
import { kinds } from '../kinds/kinds.js'
import type { OpenStep, StepKind, StepSettings } from '../kinds/stepKind.js'
import { pipelineGroup, type StepKindName, settingKeys, stepKeys, stepNamePattern } from '../pipelineKeys.js'
import type { PipelineOptions, PipelineStep } from '../pipelineOptions.js'
import { type Reference, referencesIn, withReferences } from '../references.js'
import { withoutSecrets } from './withoutSecrets.js'

/** A step whose every option is right. */
export interface ResolvedStep {
  name: string
  kindName: StepKindName
  kind: StepKind
  /** Where it writes; nobody else does. */
  directory: string
  /** What references to it stand for. */
  output: string
  /** Names of the steps whose outputs it reads, in the order of the pipeline. */
  needs: readonly string[]
  /** Everything that was said about what it does, with references as they are: what is compared with the last run. */
  options: unknown
  open: OpenStep
}

export interface ResolvedPipeline {
  out: string
  /** Where paths start. */
  directory: string
  /** Each behind those that it needs, otherwise in the order of the file. */
  steps: readonly ResolvedStep[]
}

/** A step of which the form is right, and its references. */
interface GivenStep {
  name: string
  kindName: StepKindName
  kind: StepKind
  value: unknown
  at: Path
  settings: StepSettings
  needs: readonly string[]
}

const kindNames = Object.keys(stepKeys) as StepKindName[]
const settingNames = Object.keys(settingKeys) as (keyof StepSettings)[]

let compiled: ValidateFunction | undefined

/** recipes/pipeline.schema.json, which leaves what commands take to them. */
function validator(): ValidateFunction {
  if (compiled) return compiled
  const schema = jsonSchema(pipelineGroup) as { properties: object }
  const properties = { ...schema.properties, $schema: { type: 'string', $comment: 'the address of a JSON Schema' } }
  compiled = compileSchema({ ...schema, properties })
  return compiled
}

/**
 * Checks a pipeline and every step of it, as the commands of the steps do. Reads files of steps and no data.
 *
 * @throws ERR_RECIPE with everything that is wrong, each problem with its line; ERR_FILE_READ for files of steps
 */
export async function resolvePipeline(
  document: RecipeDocument,
  overrides: readonly Override[] = [],
): Promise<ResolvedPipeline> {
  if (document.mergekitNotes) {
    throw new BranchMergeError('ERR_RECIPE', 'Expected a pipeline but received a configuration of mergekit')
  }
  const given = applyOverrides(document.value, overrides)
  const locate = locateWith(document.locate, overrides)
  const problems = new Problems(document.file ?? 'The pipeline', locate)
  schemaProblems(validator(), given, problems, { subject: 'the pipeline' })
  problems.throwIfAny()
  const pipeline = given as PipelineOptions
  const directory = document.file === undefined ? '.' : dirname(document.file)
  const out = resolve(pathFromFile(pipeline.out, directory))
  const named = Object.entries(pipeline.steps)
  const names = named.map(([name]) => name)
  const steps = named.flatMap(([name, step]) => givenStep(name, step, names, problems))
  checkOutputNames(names, problems)
  problems.throwIfAny()
  const ordered = inOrder(steps, problems)
  problems.throwIfAny()
  const located = new RecipeDocument(given, document.file, locate)
  const resolved: ResolvedStep[] = []
  const failures: BranchMergeError[] = []
  for (const step of ordered) {
    try {
      resolved.push(await resolveStep(step, located, { out, directory, steps }))
    } catch (error) {
      if (!(error instanceof BranchMergeError)) throw error
      failures.push(nameStep(error, step.name))
    }
  }
  if (failures.length === 1) throw failures[0]
  if (failures.length > 1) {
    throw new BranchMergeError('ERR_RECIPE', failures.map(({ message }) => message).join('\n'))
  }
  const whole = { out, directory, steps: resolved }
  checkPlaces(whole, problems)
  problems.throwIfAny()
  return whole
}

/** Options that an API refuses have no line; the step is named at least. */
const nameStep = (error: BranchMergeError, name: string): BranchMergeError =>
  error.code === 'ERR_RECIPE' ? error : new BranchMergeError('ERR_RECIPE', `The step ${name}: ${error.message}`)

function givenStep(name: string, step: PipelineStep, names: readonly string[], problems: Problems): GivenStep[] {
  const at: Path = ['steps', name]
  const before = problems.count
  if (!stepNamePattern.test(name)) {
    problems.add(at, `Expected letters, digits and _ in the name of a step, and a letter first, but received ${name}`, {
      key: true,
    })
  }
  const found = kindNames.filter((each) => step[each] !== undefined)
  const [kindName] = found
  if (kindName === undefined || found.length > 1) {
    const all = kindNames.join(', ')
    problems.add(at, `Expected one kind of step of ${all} but received ${found.join(', ') || 'none'}`)
    return []
  }
  const kind = kinds[kindName]
  const value = step[kindName]
  const settings: StepSettings = {}
  for (const each of settingNames) {
    if (step[each] === undefined) continue
    if (kind.settings.includes(each)) Object.assign(settings, { [each]: step[each] })
    else problems.add([...at, each], `Expected no ${each} in a step ${kindName}`, { key: true })
  }
  const path = [...at, kindName]
  if (typeof value === 'string' && !isRecipePath(value)) {
    problems.add(
      path,
      `Expected an object, or the path of a .yaml or .json file, for ${kindName} but received ${value}`,
    )
  }
  const place = kind.place ?? []
  if (isMapping(value) && place.length > 0 && valueAt(value, place) !== undefined) {
    const message = `Expected no ${place.join('.')}: the output of a step lies in the pipeline's directory, under its name`
    problems.add([...path, ...place], message, { key: true })
  }
  const needs = isMapping(value) ? stepsNamed(referencesIn(value, path), name, names, problems) : []
  return problems.count > before ? [] : [{ name, kindName, kind, value, at: path, settings, needs }]
}

const valueAt = (value: unknown, path: readonly string[]): unknown =>
  path.reduce<unknown>((each, key) => (isMapping(each) ? each[key] : undefined), value)

function stepsNamed(
  references: readonly Reference[],
  name: string,
  names: readonly string[],
  problems: Problems,
): string[] {
  for (const { step, path, at } of references) {
    if (step === name) problems.add(at, `Expected the output of another step, not of ${name} itself`)
    else if (!names.includes(step)) {
      const near = nearestName(step, names)
      const advice = near ? `did you mean ${near}?` : `the steps are ${names.join(', ')}`
      problems.add(at, `There is no step ${JSON.stringify(step)}: ${advice}`)
    } else if (path !== undefined && /(^|\/)\.{0,2}(\/|$)/.test(path)) {
      problems.add(at, `Expected \${${step}}/PATH, a path in what ${step} writes, but received /${path}`)
    }
  }
  return names.filter((each) => references.some(({ step }) => step === each))
}

/** Two directories on a file system that takes small and capital letters for the same would be one. */
function checkOutputNames(names: readonly string[], problems: Problems): void {
  const seen = new Map<string, string>()
  for (const name of names) {
    const other = seen.get(name.toLowerCase())
    if (other !== undefined) {
      const message = `Expected another name than ${other}, which differs in capital letters alone: both would write to one directory`
      problems.add(['steps', name], message, { key: true })
    }
    seen.set(name.toLowerCase(), name)
  }
}

/** Each step behind those that it needs. A circle is a problem. */
function inOrder(steps: readonly GivenStep[], problems: Problems): GivenStep[] {
  const ordered: GivenStep[] = []
  const open: string[] = []
  const visit = (step: GivenStep) => {
    if (ordered.includes(step)) return
    const begin = open.indexOf(step.name)
    if (begin >= 0) {
      const circle = [...open.slice(begin), step.name].join(' needs ')
      problems.add(['steps', step.name], `Expected no circle of steps: ${circle}`, { key: true })
      return
    }
    open.push(step.name)
    for (const name of step.needs) visit(steps.find((each) => each.name === name) as GivenStep)
    open.pop()
    ordered.push(step)
  }
  for (const step of steps) visit(step)
  return ordered
}

interface Surroundings {
  out: string
  directory: string
  steps: readonly GivenStep[]
}

async function resolveStep(
  { name, kindName, kind, value, at, settings, needs }: GivenStep,
  document: RecipeDocument,
  { out, directory, steps }: Surroundings,
): Promise<ResolvedStep> {
  const outputOf = (step: string, ofKind: StepKind) => join(out, step, ofKind.outputFile ?? '')
  const pathOf = ({ step, path }: Reference) =>
    path === undefined
      ? outputOf(step, steps.find((each) => each.name === step)?.kind as StepKind)
      : join(out, step, path)
  const output = outputOf(name, kind)
  const own =
    typeof value === 'string'
      ? await readRecipe(pathFromFile(value, directory))
      : new RecipeDocument(withReferences(value, pathOf), document.file, (path, options) =>
          document.locate([...at, ...path], options),
        )
  // Its command says what is wrong with a file that holds no object.
  const told = isMapping(own.value) ? own.value : {}
  const { place } = kind
  const placed = place
    ? applyOverrides(own.value, [{ path: place, value: output, text: `the step ${name}` }])
    : own.value
  const placedDocument = new RecipeDocument(placed, own.file, own.locate, own.mergekitNotes)
  // Where the file of a step says that its command writes is not where the pipeline does.
  const read = typeof value !== 'string' ? (value as object) : place ? without(told, place) : told
  const { threads: _, memory: __, device: ___, ...determining } = settings
  return {
    name,
    kindName,
    kind,
    directory: join(out, name),
    output,
    needs,
    options: withoutSecrets({ ...[['$schema'], ...kind.free].reduce(without, read), ...determining }),
    open: kind.open(placedDocument, output, settings),
  }
}

/** An object without the key at a path. */
function without(value: object, path: readonly string[]): object {
  const [key, ...rest] = path
  const { [key as string]: inner, ...others } = value as Record<string, unknown>
  if (rest.length === 0) return others
  return isMapping(inner) ? { ...others, [key as string]: without(inner, rest) } : value
}

/** What a step writes must be named by the step, or its reader would not wait for it. */
function checkPlaces({ out, directory, steps }: ResolvedPipeline, problems: Problems): void {
  const isWithin = (path: string, above: string) => path === above || path.startsWith(above + sep)
  for (const { name, needs, kindName, open } of steps) {
    for (const { path } of open.inputs) {
      // What is not there yet, as results/math, is taken for a name on the Hub.
      const text = isHubName(path) ? join(directory, path.replace(/^hf:\/\/(models|datasets)\//, '')) : path
      const owner = steps.find((each) => isWithin(resolve(text), join(out, each.name)))
      const isOut = resolve(text) === out
      if ((!owner && !isOut) || (owner && needs.includes(owner.name))) continue
      const message = `Expected \${${owner?.name ?? 'STEP'}} for what a step writes, but ${text} is in the pipeline's directory`
      problems.add(['steps', name, kindName], message, { key: true })
    }
  }
}
