import { isFloat } from '../../checkpoint/dtypes.js'
import { compareSideFiles } from '../../checkpoint/sideFiles.js'
import { recipeError } from '../../recipe/problems.js'
import type { ResolvedRecipe } from '../../recipe/resolvedRecipe.js'
import type { OpenedModel } from './mergePlan.js'

/** Files that decide which tokens a text becomes; tokenizer_config.json also holds what merely is a matter of taste. */
const tokenizerFiles =
  /^(tokenizer|vocab|added_tokens|special_tokens_map|tekken)\.json$|^(vocab|merges)\.txt$|^(tokenizer|spiece|tiktoken|sentencepiece.*)\.model$|\.tiktoken$/

/**
 * What the recipe says must hold of every input.
 *
 * @throws ERR_RECIPE with everything that does not
 */
export async function refuseUnmet(recipe: ResolvedRecipe, models: OpenedModel[]): Promise<void> {
  const { expect } = recipe
  const problems = models.flatMap((model) => [...unmetFacts(expect, model), ...unmetDtype(expect, model)])
  if (expect.sameTokenizer) problems.push(...(await differentTokenizers(models)))
  if (problems.length > 0) throw recipeError('The recipe', problems)
}

type Expectations = ResolvedRecipe['expect']

function unmetFacts(expect: Expectations, { label, checkpoint, config }: OpenedModel): string[] {
  const facts = {
    architecture: config?.architecture,
    layers: config?.layers,
    tensors: checkpoint.tensors.length,
    parameters: checkpoint.parameters,
  }
  return (Object.keys(facts) as (keyof typeof facts)[]).flatMap((name) => {
    const [expected, found] = [expect[name], facts[name]]
    if (expected === undefined || expected === found) return []
    return [`expect.${name}: Expected ${expected} but ${label} has ${found ?? 'a config.json that does not tell'}`]
  })
}

function unmetDtype({ dtype }: Expectations, { label, checkpoint }: OpenedModel): string[] {
  const other = dtype && checkpoint.tensors.find((tensor) => isFloat(tensor.dtype) && tensor.dtype !== dtype)
  return other ? [`expect.dtype: Expected ${dtype} but "${other.name}" of ${label} is ${other.dtype}`] : []
}

async function differentTokenizers([first, ...others]: OpenedModel[]): Promise<string[]> {
  const problems: string[] = []
  for (const other of others) {
    const [one, two] = [first?.checkpoint.directory, other.checkpoint.directory]
    if (!first || !one || !two) {
      const file = one ? other : first
      problems.push(
        `expect.sameTokenizer: Expected a directory with a tokenizer, not the file ${file?.checkpoint.path}`,
      )
      continue
    }
    const differences = await compareSideFiles(one, two, [first.label, other.label])
    problems.push(
      ...differences
        .filter((difference) => tokenizerFiles.test(difference.name))
        .map(({ name, difference }) => {
          const how =
            difference === 'differs' ? `differs between ${first.label} and ${other.label}` : `is ${difference}`
          return `expect.sameTokenizer: ${name} ${how}`
        }),
    )
  }
  return problems
}
