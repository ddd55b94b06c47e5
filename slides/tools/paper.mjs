// Pages of ours as PDF: written as HTML into target/slides, which shows the repository's files.
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { ALL, ROOT, browse, serve } from './deck.mjs'

const FONTS = ['@fontsource-variable/noto-sans-tc/index.css', '@fontsource/iosevka/400.css', '@fontsource/iosevka/700.css']

const escaped = text => text.replace(/&/g, '&amp;').replace(/</g, '&lt;')
/** As much of Markdown as a line of ours has. */
export const inline = text => escaped(text)
  .replace(/`([^`]+)`/g, '<code>$1</code>')
  .replace(/\*\*([^*]+)\*\*/g, '<strong>$1</strong>')

/** Runs in the page: makes the text of each `.fit` smaller until it fits, and says which do not. */
function fit([largest, smallest]) {
  return [...document.querySelectorAll('.fit')].flatMap((box) => {
    let size = largest
    const fits = () => box.scrollHeight <= box.clientHeight + 1 && box.scrollWidth <= box.clientWidth + 1
    for (box.style.fontSize = `${size}pt`; !fits() && size > smallest; box.style.fontSize = `${size}pt`)
      size -= 0.1
    return fits() ? [] : [box.textContent.trim().slice(0, 40)]
  })
}

/** The PDF of a page whose `.fit` texts are between two sizes, in points. */
export async function paper(name, { style, body, sizes }) {
  const links = FONTS.map(font => `<link rel="stylesheet" href="/slides/node_modules/${font}">`).join('\n')
  const html = `<!doctype html>\n<meta charset="utf-8">\n${links}\n<style>
@page { size: A4; margin: 0 }
* { box-sizing: border-box }
body { width: 210mm; margin: 0; font-family: 'Noto Sans TC Variable', sans-serif; color: #18212f }
code, pre { font-family: Iosevka, 'Noto Sans TC Variable', monospace; font-variant-ligatures: none }
${style}</style>\n${body}\n`
  await writeFile(join(ALL, `${name}.html`), html)
  const server = await serve(join(ROOT, '..'))
  const origin = `http://127.0.0.1:${server.address().port}`
  const { page, close, problems } = await browse(origin)
  await page.goto(`${origin}/target/slides/${name}.html`)
  await page.evaluate(() => document.fonts.ready)
  problems.push(...(await page.evaluate(fit, sizes)).map(text => `${name}: too much text for its place: ${text}`))
  const pdf = await page.pdf({ path: join(ALL, `${name}.pdf`), printBackground: true, preferCSSPageSize: true })
  await close()
  server.close()
  return { pdf, problems }
}

/** Says what is wrong, and ends. */
export function finish(file, pages, problems) {
  for (const problem of problems) console.error(problem)
  console.log(`${file}: ${pages} pages`)
  process.exit(problems.length ? 1 : 0)
}
