import { recipeText, toRecipe } from '../recipe/mergekit.js'
import { readRecipeText } from '../recipe/recipe.js'
import { printable } from '../report/format.js'
import { refuseExisting, writeWhole } from '../report/writeWhole.js'
import { checkPath } from '../validate.js'
import { printJson, printText } from './print.js'

/** `branchmerge convert MERGEKIT.yml` */
export async function runConvert(args: Record<string, unknown>): Promise<number> {
  const file = checkPath(args.file, 'file')
  const out = args.out === undefined ? undefined : checkPath(args.out, 'out')
  const { recipe, notes } = toRecipe(await readRecipeText(file), file)
  if (out !== undefined) {
    await refuseExisting(out, args.overwrite === true)
    await writeWhole(out, recipeText(recipe, notes))
  }
  if (args.json) printJson({ recipe, notes })
  else if (out === undefined) printText(recipeText(recipe, notes))
  else printText([`The recipe is in ${out}`, ...notes.map(printable)].join('\n'))
  return 0
}
