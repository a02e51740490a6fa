/**
 * The reference of every method, by the name it has in recipes.
 *
 * @typedef {(problem: import('./problem.js').Problem, parameters: never) => import('./problem.js').Outcome} Reference
 */
import { breadcrumbs } from './breadcrumbs.js'
import { breadcrumbsTies } from './breadcrumbs_ties.js'
import { dareLinear } from './dare_linear.js'
import { dareTies } from './dare_ties.js'
import { della } from './della.js'
import { dellaLinear } from './della_linear.js'
import { karcher } from './karcher.js'
import { linear } from './linear.js'
import { modelStock } from './model_stock.js'
import { multislerp } from './multislerp.js'
import { nearswap } from './nearswap.js'
import { nuslerp } from './nuslerp.js'
import { passthrough } from './passthrough.js'
import { ram } from './ram.js'
import { sce } from './sce.js'
import { slerp } from './slerp.js'
import { taskArithmetic } from './task_arithmetic.js'
import { ties } from './ties.js'

export const references = /** @satisfies {Record<string, Reference>} */ ({
  linear,
  slerp,
  nuslerp,
  multislerp,
  karcher,
  task_arithmetic: taskArithmetic,
  ties,
  dare_linear: dareLinear,
  dare_ties: dareTies,
  della,
  della_linear: dellaLinear,
  breadcrumbs,
  breadcrumbs_ties: breadcrumbsTies,
  model_stock: modelStock,
  sce,
  nearswap,
  ram,
  passthrough,
})
