import { dirname } from 'node:path'
import { type DtypeName, type FloatDtype, floatDtypeFromName } from '../checkpoint/dtypes.js'
import { placeFromFile } from '../hub/hubName.js'
import { pathFromFile } from '../pathFromFile.js'
import { checkOptionNames, checkPath, invalidArgument, nearestName } from '../validate.js'
import { missingParameter } from './bindTensors.js'
import { checkOptions } from './checkOptions.js'
import { checkStructure, type SoundRecipe } from './checkStructure.js'
import {
  type CallExpression,
  type Expression,
  ExpressionProblem,
  excerpt,
  inputCountProblem,
  nameProblem,
  printExpression,
  tryParseExpression,
} from './expression.js'
import { looksLikeMergekit } from './mergekit.js'
import { methodFromName, methodSpellings, methods } from './methods.js'
import { defaultParameters, withSettings } from './parameters.js'
import { type Path, Problems } from './problems.js'
import {
  type Recipe,
  RecipeDocument,
  type RecipeModel,
  type RecipeOptions,
  type RecipeRule,
  type RecipeStep,
  recipeObject,
} from './recipe.js'
import {
  firstModel,
  type MergeNode,
  type ModelNode,
  operands,
  type RecipeNode,
  type ResolvedModel,
  type ResolvedRecipe,
  type ResolvedRule,
} from './resolvedRecipe.js'

export interface ResolveOptions {
  /** Paths of models by name, over those of the recipe; relative to the working directory. */
  models?: Readonly<Record<string, string>> | undefined
}

/** More merges than any recipe has; the executor's state grows with them. */
const maxMerges = 1000

/**
 * Checks a recipe, its structure and its meaning, and settles every name, option and default. Reads no file.
 *
 * @throws ERR_RECIPE listing everything that is wrong, with file, line and column or the path of the key;
 *   ERR_INVALID_ARGUMENT for wrong options
 */
export function resolveRecipe(recipe: Recipe | RecipeDocument, options: ResolveOptions = {}): ResolvedRecipe {
  checkOptionNames(options, ['models'])
  const given = checkModels(options.models)
  const document = recipe instanceof RecipeDocument ? recipe : recipeObject(recipe)
  const problems = new Problems(document.file ?? 'The recipe', document.locate)
  refuseMergekit(document, problems)
  const structure = checkStructure(document.value, problems)
  const resolved =
    structure.sound && new Resolution(structure.sound, structure.broken, document, given, problems).resolve()
  problems.throwIfAny()
  return resolved as ResolvedRecipe
}

/** An object, for files are converted. Every key of it would be told as unknown. */
function refuseMergekit({ value }: RecipeDocument, problems: Problems): void {
  if (!looksLikeMergekit(value)) return
  const advice = 'pass the path of its file, which is converted'
  problems.add(['merge_method'], `This is a configuration of mergekit: ${advice}`, { key: true })
  problems.throwIfAny()
}

function checkModels(models: unknown = {}): Map<string, string> {
  if (typeof models !== 'object' || models === null || Array.isArray(models)) {
    throw invalidArgument('paths by name', 'models', models)
  }
  return new Map(
    Object.entries(models).map(([name, path]) => [
      name,
      placeFromFile(checkPath(path, `models.${name}`), '.', 'model'),
    ]),
  )
}

/** A text that holds an expression, and where it stands. */
interface ExpressionText {
  text: string
  path: Path
}

class Resolution {
  private readonly declared: Map<string, RecipeModel>
  private readonly steps = new Map<string, { node: RecipeNode | undefined; path: Path }>()
  private readonly models = new Map<string, ModelNode>()
  private readonly merges: MergeNode[] = []
  private readonly ids = new Set<string>()
  /** Set when a merge could not be understood: what seems to be without use may be used there. */
  private incomplete: boolean

  constructor(
    private readonly recipe: SoundRecipe,
    private readonly broken: ReadonlySet<string>,
    private readonly document: RecipeDocument,
    private readonly given: ReadonlyMap<string, string>,
    private readonly problems: Problems,
  ) {
    this.incomplete = ['', 'models', 'expression', 'steps'].some((key) => broken.has(key))
    this.declared = new Map(
      Object.entries(recipe.models ?? {}).map(([name, model]) => [
        name,
        typeof model === 'string' ? { path: model } : model,
      ]),
    )
  }

  resolve(): ResolvedRecipe | undefined {
    this.checkModelNames()
    const root = this.recipe.steps ? this.resolveSteps(this.recipe.steps) : this.resolveExpression()
    this.checkOptions(this.recipe.options, ['options'], this.merges)
    const rules = (this.recipe.rules ?? []).flatMap((rule, i) => (rule ? [this.resolveRule(rule, i)] : []))
    this.checkParameters(rules)
    this.checkUse(root)
    const { output = {}, intermediate = 'storage', expect = {} } = this.recipe
    const { embeddings = 'refuse', names = 'equal', heads = 'equal', architectures = 'equal' } = this.recipe
    this.checkTokenizer(output.tokenizer)
    if (this.problems.count > 0 || root?.kind !== 'merge') return undefined
    const { dtype: expectedDtype, ...expected } = expect
    return {
      root,
      merges: this.merges,
      models: [...this.models.keys()].map((name) => this.resolveModel(name)),
      rules,
      output: {
        path: output.path === undefined ? undefined : this.fromFile(output.path),
        dtype: floatDtype(output.dtype),
        maxShardSize: output.maxShardSize,
        tokenizer: output.tokenizer ?? firstModel(root),
      },
      intermediate,
      choices: { embeddings, names, heads, architectures },
      expect: { ...expected, ...(expectedDtype ? { dtype: floatDtype(expectedDtype) as FloatDtype } : {}) },
      notes: this.document.mergekitNotes ?? [],
    }
  }

  /** Names that look unknown may be of models or steps that are wrong. */
  private get namesAreMissing(): boolean {
    return this.broken.has('models') || this.broken.has('steps')
  }

  private checkModelNames(): void {
    for (const name of this.declared.keys()) {
      const problem = nameProblem(name)
      if (problem) this.problems.add(['models', name], problem, { key: true })
    }
  }

  private resolveExpression(): RecipeNode | undefined {
    const { expression, options } = this.recipe
    if (expression === undefined) return undefined
    return this.resolveStep({ expression }, [], { ...options })
  }

  private resolveSteps(steps: readonly (RecipeStep | undefined)[]): RecipeNode | undefined {
    let last: RecipeNode | undefined
    for (const [i, step] of steps.entries()) {
      if (!step) continue
      const path = ['steps', i]
      last = this.resolveStep(step, path, { ...this.recipe.options })
      if (step.name !== undefined) this.nameStep(step.name, last, path)
      else if (i < steps.length - 1) {
        this.problems.add(path, 'Expected the key name: only the last step can be without one')
      }
    }
    return last
  }

  private nameStep(name: string, node: RecipeNode | undefined, path: Path): void {
    const namePath = [...path, 'name']
    const problem = nameProblem(name)
    if (problem) this.problems.add(namePath, problem)
    else if (this.steps.has(name)) this.problems.add(namePath, `Expected the name "${name}" once`)
    else if (this.declared.has(name) || this.given.has(name)) {
      this.problems.add(namePath, `Expected another name: "${name}" is a model`)
    }
    this.steps.set(name, { node, path })
  }

  private resolveStep(step: RecipeStep, path: Path, global: RecipeOptions): RecipeNode | undefined {
    const before = this.merges.length
    const build = new StepBuilder(step, this, [global, step.options ?? {}])
    const isMerge = (expression: Expression): expression is CallExpression => {
      if (expression.kind === 'call') return true
      const text = 'Expected a merge, as a & b; to copy a model or a step, write passthrough(NAME)'
      this.problems.add([...path, 'expression'], text)
      return false
    }
    let node: RecipeNode | undefined
    if (step.expression !== undefined) {
      const source = { text: step.expression, path: [...path, 'expression'] }
      const expression = this.parse(source)
      if (expression && isMerge(expression)) node = build.node(expression, source, step.name)
    } else {
      node = this.resolveMethodStep(step, path, build)
    }
    if (node === undefined) this.incomplete = true
    const merges = this.merges.slice(before)
    this.checkOptions(step.options, [...path, 'options'], merges, { complete: node !== undefined })
    return node
  }

  private resolveMethodStep(step: RecipeStep, path: Path, build: StepBuilder): RecipeNode | undefined {
    const name = step.method as string
    const method = methodFromName(name)
    if (!method) {
      const near = nearestName(name, methodSpellings)
      const advice = near ? `did you mean ${near}?` : `expected one of ${methodSpellings.join(', ')}`
      this.problems.add([...path, 'method'], `Unknown method "${name}": ${advice}`)
      return undefined
    }
    const inputs = step.inputs as string[]
    const countProblem = inputCountProblem(method, inputs.length)
    if (countProblem) this.problems.add([...path, 'inputs'], countProblem)
    const needs = methods[method].base
    if (needs === 'required' && step.base === undefined) this.problems.add(path, `Expected the key base for ${method}`)
    if (needs === 'none' && step.base !== undefined) {
      this.problems.add([...path, 'base'], `Expected no base for ${method}, only inputs`, { key: true })
    }
    const operand = (text: string, at: Path): RecipeNode | undefined => {
      const source = { text, path: at }
      const expression = this.parse(source)
      return expression && build.node(expression, source)
    }
    const base = step.base === undefined ? undefined : operand(step.base, [...path, 'base'])
    const nodes = inputs.map((text, i) => operand(text, [...path, 'inputs', i]))
    const known = nodes.filter((node) => node !== undefined)
    const complete = known.length === nodes.length && (base !== undefined) === (step.base !== undefined)
    if (!complete || countProblem || (needs === 'required' && !base)) return undefined
    const id = step.name ?? `${method} of step ${(path[1] as number) + 1}`
    return build.merge({ method, base, inputs: known, parameters: [] }, id)
  }

  private parse(source: ExpressionText): Expression | undefined {
    try {
      return tryParseExpression(source.text)
    } catch (error) {
      if (!(error instanceof ExpressionProblem)) throw error
      this.incomplete = true
      this.fault(source, error.message, error.at)
      return undefined
    }
  }

  /** A problem at a position of an expression. */
  private fault({ text, path }: ExpressionText, message: string, at: number): void {
    this.problems.add(path, `${message}\n${excerpt(text, at)}`, { offset: at })
  }

  /** A step or a model, by its name in an expression. */
  find(name: string, source: ExpressionText, at: number): RecipeNode | undefined {
    const step = this.steps.get(name)
    if (step) return step.node
    const model = this.declared.get(name)
    if (!model && !this.given.has(name)) {
      this.unknownName(name, source, at)
      return undefined
    }
    if (model && model.path === undefined && !this.given.has(name)) {
      this.problems.add(
        ['models', name],
        `Expected the path of the model "${name}": write it here or pass it (--model ${name}=DIR)`,
        { key: true },
      )
    }
    const known = this.models.get(name) ?? { kind: 'model', name }
    this.models.set(name, known)
    return known
  }

  private unknownName(name: string, source: ExpressionText, at: number): void {
    const isLater = this.recipe.steps?.some((step) => step?.name === name)
    if (isLater) this.fault(source, `Expected an earlier step: "${name}" comes later or is this one`, at)
    if (isLater || this.namesAreMissing) return
    const near = nearestName(name, [...this.steps.keys(), ...this.declared.keys(), ...this.given.keys()])
    const advice = near ? `did you mean ${near}?` : `add it to models or pass it (--model ${name}=DIR)`
    this.fault(source, `Unknown model "${name}": ${advice}`, at)
  }

  /** Keeps a merge, under an id of its own. */
  addMerge(node: MergeNode): MergeNode {
    let { id } = node
    for (let i = 2; this.ids.has(id); i++) id = `${node.id} (${i})`
    this.ids.add(id)
    const merge = { ...node, id }
    this.merges.push(merge)
    if (this.merges.length === maxMerges + 1) this.problems.add(['steps'], `Expected at most ${maxMerges} merges`)
    return merge
  }

  private resolveRule({ match, layers, step, options }: RecipeRule, i: number): ResolvedRule {
    const path = ['rules', i]
    if (layers && layers[0] >= layers[1]) {
      this.problems.add(
        [...path, 'layers'],
        `Expected the first layer before the last but received [${layers.join(', ')}]`,
      )
    }
    if (step === undefined || this.steps.has(step)) {
      const nodes = this.merges.filter((node) => step === undefined || node.step === step)
      this.checkOptions(options, [...path, 'options'], nodes, { partial: true })
    } else if (!this.namesAreMissing) {
      const near = nearestName(step, [...this.steps.keys()])
      this.problems.add([...path, 'step'], `Unknown step "${step}"${near ? `: did you mean ${near}?` : ''}`)
    }
    return {
      where: this.document.locate(path).text,
      match: typeof match === 'string' ? [match] : match,
      layers,
      step,
      options,
    }
  }

  private checkOptions(
    options: RecipeOptions | undefined,
    path: Path,
    nodes: readonly MergeNode[],
    { partial = false, complete = !this.incomplete } = {},
  ): void {
    checkOptions({ options: options ?? {}, path, nodes, complete, partial }, this.problems)
  }

  /** Parameters that must be given, and values that do not fit together; where rules can change them, bindTensors looks. */
  private checkParameters(rules: readonly ResolvedRule[]): void {
    if (this.broken.size > 0) return // what is missing may be there, but wrong
    for (const node of this.merges) {
      const missing = missingParameter(node, node.parameters)
      const own = rules.filter(({ step }) => step === undefined || step === node.step)
      if (missing && !own.some(({ options }) => Object.hasOwn(options, missing))) {
        this.problems.add(this.pathOf(node), `Expected ${missing} for ${node.method}, in ${node.id}`)
      } else if (own.length === 0 && this.problems.count === 0) {
        const conflict = methods[node.method].conflict?.(node.parameters)
        if (conflict) this.problems.add(this.pathOf(node), `${conflict}, in ${node.id}`)
      }
    }
  }

  private pathOf(node: MergeNode): Path {
    if (!this.recipe.steps) return ['expression']
    return node.step === undefined
      ? ['steps', this.recipe.steps.length - 1]
      : (this.steps.get(node.step)?.path ?? ['steps'])
  }

  /** Models and steps that do not reach the result are mistakes. */
  private checkUse(root: RecipeNode | undefined): void {
    if (this.incomplete || !root) return
    const used = reachable(root)
    for (const [name, { node, path }] of this.steps) {
      if (node && !used.has(node)) this.problems.add(path, `Expected a later step to use the result "${name}"`)
    }
    const usedModels = new Set([...used].flatMap((node) => (node.kind === 'model' ? [node.name] : [])))
    for (const name of this.declared.keys()) {
      if (!usedModels.has(name))
        this.problems.add(['models', name], `Expected an expression or step to use the model "${name}"`, { key: true })
    }
    for (const name of this.given.keys()) {
      if (this.declared.has(name) || usedModels.has(name)) continue
      const near = nearestName(name, [...usedModels])
      this.problems.add(
        [],
        `Expected the recipe to use the model "${name}" that was passed${near ? `: did you mean ${near}?` : ''}`,
      )
    }
  }

  private checkTokenizer(name: string | undefined): void {
    if (name === undefined || this.incomplete || this.models.has(name)) return
    const near = nearestName(name, [...this.models.keys()])
    const advice = near ? `did you mean ${near}?` : `expected one of ${[...this.models.keys()].join(', ')}`
    this.problems.add(['output', 'tokenizer'], `Unknown model "${name}": ${advice}`)
  }

  private resolveModel(name: string): ResolvedModel {
    const { path, dtype, sha256 } = this.declared.get(name) ?? {}
    const given = this.given.get(name)
    return {
      name,
      path: given ?? placeFromFile(path as string, this.directory, 'model'),
      dtype: floatDtype(dtype),
      sha256:
        typeof sha256 === 'object'
          ? Object.fromEntries(Object.entries(sha256).map(([file, hash]) => [file, hash.toLowerCase()]))
          : sha256?.toLowerCase(),
    }
  }

  /** Paths in a file start from it. */
  private fromFile(path: string): string {
    return pathFromFile(path, this.directory)
  }

  private get directory(): string {
    const { file } = this.document
    return file === undefined ? '.' : dirname(file)
  }
}

/** Makes the nodes of one step; equal expressions within it are one node. */
class StepBuilder {
  private readonly nodes = new Map<string, RecipeNode>()

  constructor(
    private readonly step: RecipeStep,
    private readonly resolution: Resolution,
    private readonly layers: readonly RecipeOptions[],
  ) {}

  /** The node of an expression, `id` for the whole of a step; undefined when a name in it is wrong. */
  node(expression: Expression, source: ExpressionText, id?: string): RecipeNode | undefined {
    if (expression.kind === 'name') return this.resolution.find(expression.name, source, expression.at)
    const text = printExpression(expression)
    const known = this.nodes.get(text)
    if (known) return known
    const base = expression.base && this.node(expression.base, source)
    const inputs = expression.inputs.map((input) => this.node(input, source))
    const complete = inputs.filter((input) => input !== undefined)
    if (complete.length < inputs.length || (expression.base && !base)) return undefined
    const { method, parameters } = expression
    const prefix = this.step.name === undefined ? '' : `${this.step.name}: `
    const node = this.merge({ method, base, inputs: complete, parameters }, id ?? `${prefix}${text}`)
    this.nodes.set(text, node)
    return node
  }

  merge(
    {
      method,
      base,
      inputs,
      parameters,
    }: Pick<MergeNode, 'method' | 'base' | 'inputs'> & Pick<CallExpression, 'parameters'>,
    id: string,
  ): MergeNode {
    const own = Object.fromEntries(parameters.map(({ name, value }) => [name, value]))
    const shape = { method, inputs }
    const settled = [...this.layers, own].reduce(
      (below, settings) => withSettings(shape, below, settings),
      defaultParameters(shape),
    )
    const node = { kind: 'merge', id, step: this.step.name, method, base, inputs, parameters: settled } as const
    return this.resolution.addMerge(node)
  }
}

function reachable(root: RecipeNode): Set<RecipeNode> {
  const found = new Set<RecipeNode>([root])
  for (const node of found) {
    if (node.kind === 'merge') for (const operand of operands(node)) found.add(operand)
  }
  return found
}

function floatDtype(name: DtypeName | undefined): FloatDtype | undefined {
  return name === undefined ? undefined : floatDtypeFromName(name)
}
