import type { FloatDtype } from '../checkpoint/dtypes.js'
import type { ModelChoices } from '../checkpoint/modelChoices.js'
import type { HubOrigin } from '../hub/hubName.js'
import type { MethodName } from './methods.js'
import type { RecipeExpectations } from './recipe.js'
import type { Gradient, InputSetting, Setting } from './setting.js'

export interface ModelNode {
  kind: 'model'
  name: string
}

/** One application of a method. Nodes that several merges use are one object: the tree is a graph without cycles. */
export interface MergeNode {
  kind: 'merge'
  /** Unique in the recipe: the step's name, or the canonical text of the expression. */
  id: string
  /** Name of the step it belongs to. */
  step: string | undefined
  method: MethodName
  /** Left first. */
  inputs: RecipeNode[]
  base: RecipeNode | undefined
  /** In force where no rule says otherwise, every parameter of the method that has a value. */
  parameters: NodeParameters
}

export type RecipeNode = ModelNode | MergeNode

/** Parameters that each input has its own of are arrays, null where only rules say. Gradients are not yet values. */
export type NodeParameters = Readonly<Record<string, number | boolean | string | Gradient | (InputSetting | null)[]>>

export interface ResolvedModel {
  name: string
  /** Of a directory or file; or a name on the Hub in the full form, hf://, until it is fetched. */
  path: string
  /** What it was fetched from. */
  origin?: HubOrigin
  /** Float tensors are converted to this as they are read; undefined: as stored. */
  dtype: FloatDtype | undefined
  /** Lower case; of the one weights file, or of each by name. */
  sha256: string | Readonly<Record<string, string>> | undefined
}

export interface ResolvedRule {
  /** Its place, for messages. */
  where: string
  /** Patterns, one of which must match the name; undefined: any name. */
  match: readonly string[] | undefined
  /** From the first to the one before the second. */
  layers: readonly [number, number] | undefined
  /** Undefined: every step. */
  step: string | undefined
  options: Readonly<Record<string, Setting>>
}

/** A recipe whose every name, option and default is settled; what remains is said about tensors. */
export interface ResolvedRecipe {
  root: MergeNode
  /** Every merge once, its inputs before it; the root is the last. */
  merges: MergeNode[]
  /** In the order of their first use: for `a & b` a, then b. */
  models: ResolvedModel[]
  rules: ResolvedRule[]
  output: {
    path: string | undefined
    dtype: FloatDtype | undefined
    maxShardSize: number | string | undefined
    /** Name of the model that configuration and tokenizer come from. */
    tokenizer: string
  }
  intermediate: 'storage' | 'float32'
  choices: Required<{ [K in keyof ModelChoices]: NonNullable<ModelChoices[K]> }>
  expect: Omit<RecipeExpectations, 'dtype'> & { dtype?: FloatDtype }
  /** What to know about its conversion, in words. */
  notes: readonly string[]
}

/** The base, if there is one, then the inputs: Left before Right. */
export const operands = ({ base, inputs }: Pick<MergeNode, 'base' | 'inputs'>): RecipeNode[] =>
  base ? [base, ...inputs] : inputs

/** Left of Left, or the base: the model that a merge continues. */
export const firstModel = (root: RecipeNode): string => outermostModel(root, 0)

/** Right of Right, or the last input. */
export const lastModel = (root: RecipeNode): string => outermostModel(root, -1)

function outermostModel(root: RecipeNode, side: 0 | -1): string {
  let node = root
  while (node.kind === 'merge') node = operands(node).at(side) as RecipeNode
  return node.name
}
