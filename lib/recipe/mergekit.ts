import { existsSync } from 'node:fs'
import { basename } from 'node:path'
import { Document } from 'yaml'
import { invalidArgument, isMapping } from '../validate.js'
import { printName } from './expression.js'
import {
  type MergekitDocument,
  type MergekitDtype,
  mergekitMethodName,
  readMergekitDocument,
} from './mergekitDocument.js'
import { convertParameters } from './mergekitParameters.js'
import { methods } from './methods.js'
import { type Path, Problems } from './problems.js'
import { readYaml } from './readYaml.js'
import type { Recipe, RecipeModel, RecipeRule, RecipeStep } from './recipe.js'

export interface Conversion {
  recipe: Recipe
  /** Where our result differs from mergekit's, and what else to know, in words. */
  notes: string[]
}

/**
 * Converts a mergekit configuration, of one merge or of several documents as mergekit-multi takes them, to a recipe that
 * merges the same models in the same way. Paths stay as they are written: mergekit's start from the working directory, where a
 * note is made of names that may be a hub's because nothing is there.
 *
 * @throws ERR_RECIPE naming everything in it that is not supported, and every key that mergekit does not know
 */
export function toRecipe(text: string, file = 'mergekit.yaml'): Conversion {
  if (typeof text !== 'string') throw invalidArgument('the text of a mergekit configuration', 'text', text)
  const read = readYaml(text, file)
  const locate = ([i, ...path]: Path, options?: { key?: boolean; offset?: number }) =>
    (read[i as number] ?? read[0])?.locate(path, options) ?? { text: file, order: 0 }
  const problems = new Problems(file, locate)
  if (read.length === 0) problems.add([0], 'Expected a mergekit configuration')
  const documents = read.map(({ value }, i) => readMergekitDocument(value, [i], problems))
  problems.throwIfAny()
  const conversion = new FileConversion(documents as MergekitDocument[], problems).convert()
  problems.throwIfAny()
  return conversion
}

/** By the key that every merge of mergekit has and no recipe. */
export const looksLikeMergekit = (value: unknown): boolean => isMapping(value) && 'merge_method' in value

/** A recipe or a run as a file, with comments above it. */
export function recipeText(recipe: object, comments: readonly string[] = []): string {
  const document = new Document(recipe)
  if (comments.length > 0)
    document.commentBefore = comments.map((comment) => ` ${comment.replaceAll('\n', ' ')}`).join('\n')
  return document.toString({ lineWidth: 120, flowCollectionPadding: false })
}

const noteOnFusion =
  'arcee_fusion: the KL divergence is computed without cancellation, quartiles are of all elements instead of two ' +
  "random samples, and chosen values are the model's bits: expect another mask than mergekit's, see docs/fusion.md"

const noteOnSce =
  "sce: where the mean squares of a tensor's differences from the base add up to less than 1e-6, mergekit weighs all models " +
  'alike; here the weights follow the mean squares there, too'

const noteOnTokenizer =
  "tokenizer_source: mergekit cuts embeddings and output heads to the tokenizer's size, so rows of padding are lost; here they " +
  'are kept'

class FileConversion {
  private readonly names = new Map<string, string>()
  private readonly notes = new Set<string>()

  constructor(
    private readonly documents: readonly MergekitDocument[],
    private readonly problems: Problems,
  ) {}

  convert(): Conversion {
    const ordered = this.inOrder()
    const result = ordered.at(-1) as MergekitDocument
    this.nameModels(ordered)
    const { dtype, intermediate } = this.dtypes(ordered, result)
    const steps: RecipeStep[] = []
    const rules: RecipeRule[] = []
    for (const document of ordered) {
      const converted = convertParameters(document, this.problems)
      for (const note of [...document.notes, ...converted.notes]) this.notes.add(note)
      const name = this.stepName(document)
      const { method, base, inputs } = document
      steps.push({
        name,
        method,
        ...(base === undefined ? {} : { base: this.operand(base) }),
        inputs: inputs.map(({ model }) => this.operand(model)),
        ...(Object.keys(converted.options).length > 0 ? { options: converted.options } : {}),
      })
      for (const rule of converted.rules) rules.push(ordered.length > 1 ? { ...rule, step: name } : rule)
      this.noteMethod(document)
    }
    if (rules.length > 0) this.notes.add('a filter that matches no tensor is an error here; mergekit passes over it')
    const recipe: Recipe = {
      models: this.models(dtype),
      steps,
      ...(rules.length > 0 ? { rules } : {}),
      output: {
        ...outputDtype(result),
        tokenizer: this.tokenizer(result),
      },
      intermediate,
      ...this.expectations(),
    }
    return { recipe, notes: [...this.notes] }
  }

  private byName(name: string): MergekitDocument | undefined {
    return this.documents.find((document) => document.name === name)
  }

  /** Merges that others use come first; exactly one is used by none. */
  private inOrder(): MergekitDocument[] {
    this.checkNames()
    const ordered: MergekitDocument[] = []
    const visit = (document: MergekitDocument, above: readonly MergekitDocument[]): void => {
      if (ordered.includes(document)) return
      if (above.includes(document)) {
        this.problems.add(document.path, `The merge ${document.name} needs its own result`)
        return
      }
      for (const operand of operands(document)) {
        const other = this.byName(operand)
        if (other) visit(other, [...above, document])
      }
      ordered.push(document)
    }
    for (const document of this.documents) visit(document, [])
    const used = new Set(this.documents.flatMap(operands))
    const results = this.documents.filter(({ name }) => name === undefined || !used.has(name))
    if (results.length > 1) {
      const names = results.map(({ name }) => name ?? 'one without a name').join(', ')
      this.problems.add((results[1] as MergekitDocument).path, `Expected one final merge but found ${names}`)
    }
    this.problems.throwIfAny()
    const [result] = results as [MergekitDocument]
    return [...ordered.filter((document) => document !== result), result]
  }

  private checkNames(): void {
    for (const [i, { name, path }] of this.documents.entries()) {
      if (this.documents.findIndex((other) => other.name === name) === i) continue
      const text =
        name === undefined
          ? 'Expected the key name: only one merge can be without one'
          : `Expected the name ${name} once`
      this.problems.add(path, text)
    }
  }

  /** Models are called by the last part of their path, made unique. */
  private nameModels(ordered: readonly MergekitDocument[]): void {
    const taken = new Set(this.documents.map((document) => this.stepName(document)))
    for (const path of ordered.flatMap((document) => [...operands(document), document.tokenizer])) {
      if (this.byName(path) || this.names.has(path)) continue
      const plain =
        basename(path)
          .replaceAll(/[^\w.-]+/g, '-')
          .replace(/^[.-]+/, '') || 'model'
      let name = plain
      for (let i = 2; taken.has(name); i++) name = `${plain}-${i}`
      taken.add(name)
      this.names.set(path, name)
      // mergekit, too, asks a hub only for what is not there.
      if (/^[\w-][\w.-]*\/[\w.-]+$/.test(path) && !existsSync(path)) {
        this.notes.add(`${path} is not here and taken for a name on the Hub (a directory: --model ${name}=DIR)`)
      }
    }
  }

  private stepName({ name }: MergekitDocument): string {
    return name ?? 'merged'
  }

  private operand(model: string): string {
    return printName(this.names.get(model) ?? model)
  }

  private models(dtype: MergekitDtype | undefined): Record<string, string | RecipeModel> {
    return Object.fromEntries([...this.names].map(([path, name]) => [name, dtype ? { path, dtype } : path]))
  }

  private tokenizerModel(document: MergekitDocument): string {
    const step = this.byName(document.tokenizer)
    return step ? this.tokenizerModel(step) : document.tokenizer
  }

  private tokenizer(result: MergekitDocument): string {
    const model = this.tokenizerModel(result)
    if (!this.documents.flatMap(operands).includes(model)) {
      const text = `the tokenizer of ${model} is not supported: it must be that of a model that is merged`
      this.problems.add([...result.path, 'tokenizer_source'], text)
    }
    return this.names.get(model) as string
  }

  private expectations(): Pick<Recipe, 'expect'> {
    const sameTokenizer = this.documents.some(({ asksForTokenizer }) => asksForTokenizer)
    const counts = new Set(this.documents.flatMap(({ layers }) => layers ?? []))
    if (counts.size > 1) {
      const text = `layer_range must be the same for all merges but is [0, ${[...counts].join('] and [0, ')}]`
      this.problems.add((this.documents[0] as MergekitDocument).path, text)
    }
    const [layers] = counts
    if (!sameTokenizer && layers === undefined) return {}
    return { expect: { ...(layers === undefined ? {} : { layers }), ...(sameTokenizer ? { sameTokenizer } : {}) } }
  }

  /**
   * mergekit converts every tensor to `dtype` as it is read, computes in it, and writes results in `out_dtype`; between
   * merges they are files. We compute in float32 or better, so what remains is the rounding of inputs and of results.
   */
  private dtypes(
    ordered: readonly MergekitDocument[],
    result: MergekitDocument,
  ): { dtype: MergekitDtype | undefined; intermediate: 'storage' | 'float32' } {
    const { dtype } = result
    for (const document of ordered) {
      if (document.dtype === dtype) continue
      const [own, other] = [document.dtype ?? 'none', dtype ?? 'none']
      this.problems.add([...document.path, 'dtype'], `Expected one dtype for all merges but found ${own} and ${other}`)
    }
    if (dtype && dtype !== 'float32') {
      this.notes.add(`mergekit computes in ${dtype}, rounding after every operation; here it is float32, rounded once`)
    }
    const between = ordered.slice(0, -1).map(({ outDtype }) => outDtype ?? dtype)
    if (dtype === 'float32' && between.every((written) => written === 'float32')) {
      return { dtype, intermediate: between.length > 0 ? 'float32' : 'storage' }
    }
    // What is read in bfloat16 again may well have been written in float32: nothing is lost in between.
    const lossless = between.every((written) => written === dtype || (dtype && written === 'float32'))
    if (!lossless) {
      const written = [...new Set(between)].map((name) => name ?? 'the dtype of the models').join(' and ')
      this.notes.add(
        `results between merges are rounded to the dtype of the models; mergekit writes them in ${written}`,
      )
    }
    return { dtype: dtype === 'float32' ? undefined : dtype, intermediate: 'storage' }
  }

  private noteMethod({ method, inputs, dtype, outDtype, asksForTokenizer }: MergekitDocument): void {
    if (asksForTokenizer) this.notes.add(noteOnTokenizer)
    if (method === 'sce') this.notes.add(noteOnSce)
    if (method === 'linear' && inputs.length === 1) {
      this.notes.add('linear of one model: nothing is mixed, the model is copied (scaled where normalize is false)')
    }
    if (method === 'fuse') this.notes.add(noteOnFusion)
    if (method === 'fuse' && dtype && dtype !== 'float32' && !outDtype) {
      this.notes.add(
        `arcee_fusion: mergekit writes float32 here in spite of dtype: ${dtype}; branchmerge writes ${dtype}`,
      )
    }
    if (Object.hasOwn(methods[method].parameters, 'seed')) {
      const name = mergekitMethodName(method)
      this.notes.add(`${name}: other random numbers than mergekit's, the same in every run (option seed, default 0)`)
    }
  }
}

function operands({ base, inputs }: MergekitDocument): string[] {
  return [...(base === undefined ? [] : [base]), ...inputs.map(({ model }) => model)]
}

function outputDtype({ dtype, outDtype }: MergekitDocument): Pick<NonNullable<Recipe['output']>, 'dtype'> {
  const written = outDtype ?? dtype
  return written ? { dtype: written } : {}
}
