import { nearestName } from '../validate.js'
import { methods, type Parameter, parameterOf } from './methods.js'
import type { Path, Problems } from './problems.js'
import type { RecipeOptions } from './recipe.js'
import type { MergeNode } from './resolvedRecipe.js'
import { settingProblem } from './setting.js'

/** Options, where they stand, and the merges they are said for. */
export interface OptionsScope {
  options: RecipeOptions
  path: Path
  nodes: readonly MergeNode[]
  /** `nodes` are all there are: an option that none of them has is unknown. */
  complete: boolean
  /** null in a list is allowed: it leaves an input to the next rule. */
  partial: boolean
}

/** Options must be of a merge in their scope, of one meaning there, and right for each. */
export function checkOptions(scope: OptionsScope, problems: Problems): void {
  for (const name of Object.keys(scope.options)) checkOption(name, scope, problems)
}

function checkOption(name: string, scope: OptionsScope, problems: Problems): void {
  const { options, path, nodes, complete, partial } = scope
  const at = [...path, name]
  const users = nodes.flatMap((node) => {
    const parameter = parameterOf(node.method, name)
    return parameter ? [{ node, parameter }] : []
  })
  const owners = ownersByMeaning(users)
  if (users.length === 0) {
    if (complete) problems.add(at, unknownOption(name, nodes), { key: true })
  } else if (owners.length > 1) {
    const text = `Expected ${name} inside a step or a call: it means different things for ${owners.join(' and ')}`
    problems.add(at, text, { key: true })
  } else if (!partial && hasNull(options[name])) {
    problems.add(at, `Expected a number for each input for ${name}: only rules can have null`)
  } else {
    for (const { node, parameter } of users) {
      const problem = settingProblem(name, parameter, options[name], node.inputs.length)
      if (problem) problems.add(at, problem)
    }
  }
}

/** A method for each meaning that the name has. */
function ownersByMeaning(users: readonly { node: MergeNode; parameter: Parameter }[]): string[] {
  return [...new Map(users.map(({ node, parameter }) => [parameter.meaning, node.method])).values()]
}

const hasNull = (setting: unknown): boolean => Array.isArray(setting) && setting.includes(null)

function unknownOption(name: string, nodes: readonly MergeNode[]): string {
  const used = [...new Set(nodes.map(({ method }) => method))]
  const known = [...new Set(used.flatMap((method) => Object.keys(methods[method].parameters)))]
  const near = nearestName(name, known)
  const advice = near ? `did you mean ${near}?` : `${used.join(' and ')} has ${known.join(', ')}`
  return `Unknown option ${JSON.stringify(name)}: ${advice}`
}
