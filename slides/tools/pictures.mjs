// The deck's drawings for the chapters' pages, in English and in zh-TW: docs/pictures/NAME.en.svg
// and NAME.zh-TW.svg. Which ones, and their English labels, is in pictures.json.
//   node tools/pictures.mjs          writes them
//   node tools/pictures.mjs --check  are they as written? Does each text fit?
import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import vue from '@vitejs/plugin-vue'
import { createServer } from 'vite'
import { createSSRApp } from 'vue'
import { renderToString } from 'vue/server-renderer'
import { ROOT, browse } from './deck.mjs'

const FOLDER = join(ROOT, '../docs/pictures')
const PARTS = ['Fig', 'SBox', 'SArrow', 'SText']
const CHINESE = /[\u3000-\u9fff\uff00-\uffef]/
// A page shows a picture without the deck's fonts.
const FONTS = `:root { --sans: system-ui, 'Noto Sans TC', 'PingFang TC', 'Microsoft JhengHei', sans-serif; --mono: ui-monospace, 'DejaVu Sans Mono', Menlo, Consolas, monospace; } .fig text.mono { letter-spacing: -0.08em }` // narrow as the deck's

const { pictures, english } = JSON.parse(await readFile(join(ROOT, 'pictures.json'), 'utf8'))
const problems = []

/** The deck's colours, and its rules for drawings. */
async function style() {
  const css = await readFile(join(ROOT, 'styles/deck.css'), 'utf8')
  const rules = css.replace(/\/\*.*?\*\//gs, '').match(/[^{}]+\{[^{}]*\}/g).map(rule => rule.trim())
  const wanted = rules.filter(rule => /^(:root|\.fig)/.test(rule))
  return [...wanted, FONTS].join('\n').replace(/--slidev[^;]*;/g, '').replace(/\s+/g, ' ')
}

/** A label in English; numbers stand in pictures.json as `#`. */
function translated(text) {
  if (!CHINESE.test(text))
    return text
  const numbers = text.match(/\d[\d.,]*/g) ?? []
  const label = english[text] ?? english[text.replace(/\d[\d.,]*/g, '#')]
  if (label === undefined)
    problems.push(`pictures.json has no English for: ${text}`)
  return english[text] ?? (label ?? text).replace(/#/g, () => numbers.shift())
}

async function render(vite, { component, props }, language, css) {
  const load = async name => (await vite.ssrLoadModule(`/components/${name}.vue`)).default
  const app = createSSRApp(await load(component), props)
  app.directive('click', {})
  app.directive('click-hide', {}) // a page shows a drawing after its last step
  for (const part of PARTS)
    app.component(part, await load(part))
  if (language === 'en')
    app.provide('translated', translated)
  const html = (await renderToString(app)).replace(/<!--.*?-->/g, '').replace('viewbox=', 'viewBox=') // as Vue writes what is computed
  const [, , , width, height] = html.match(/(viewBox)="(0) 0 (\d+) (\d+)"/)
  return html
    .replace(/<svg class="fig" viewBox="[^"]*" style="[^"]*"/, `<svg xmlns="http://www.w3.org/2000/svg" class="fig" viewBox="-12 -12 ${+width + 24} ${+height + 24}" width="${+width + 24}" height="${+height + 24}"`)
    .replace('<defs>', `<style>${css}</style><rect x="-12" y="-12" width="100%" height="100%" fill="#fff"/><defs>`)
    .replace(/></g, '>\n<') + '\n'
}

async function fit(files) {
  const { page, close } = await browse('about:blank')
  for (const [name, svg] of files) {
    await page.setContent(svg)
    await page.addScriptTag({ path: join(ROOT, 'tools/in-page.js') }) // this page was never loaded
    for (const what of await page.evaluate(() => rules.drawing(document.querySelector('svg'))))
      problems.push(`${name}: ${what}`)
    if (process.env.PICTURES_PNG)
      await page.locator('svg').screenshot({ path: join(process.env.PICTURES_PNG, `${name}.png`) })
  }
  await close()
}

const vite = await createServer({ root: ROOT, configFile: false, plugins: [vue()], appType: 'custom', logLevel: 'error', server: { middlewareMode: true, ws: false } })
const [css, files] = [await style(), []]
for (const [name, picture] of Object.entries(pictures)) {
  for (const language of ['en', 'zh-TW'])
    files.push([`${name}.${language}.svg`, await render(vite, picture, language, css)])
}
await vite.close()

if (process.argv.includes('--check')) {
  for (const [name, svg] of files) {
    if (await readFile(join(FOLDER, name), 'utf8').catch(() => '') !== svg)
      problems.push(`docs/pictures/${name} is not what the deck draws: run scripts/slides pictures`)
  }
  await fit(files)
}
else if (!problems.length) {
  await mkdir(FOLDER, { recursive: true })
  await Promise.all(files.map(([name, svg]) => writeFile(join(FOLDER, name), svg)))
}
for (const problem of problems) console.error(problem)
console.log(`${files.length} pictures, ${problems.length} problems`)
process.exit(problems.length ? 1 : 0)
