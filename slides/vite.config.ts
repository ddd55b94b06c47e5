export default {
  // Vite's own minifier stumbles over what UnoCSS writes ("Invalid token in pseudo element").
  build: { cssMinify: false, chunkSizeWarningLimit: 4000 },
  // Cargo.toml and docs/casts.
  server: { fs: { allow: ['..'] } },
  plugins: [
    {
      // Slidev leaves the page with all slides, of which tools/pdf.mjs makes the PDF, out of a
      // build unless it may make the PDF itself, for which it wants a browser of its own.
      name: 'print-page',
      enforce: 'post',
      config: () => ({ define: { __SLIDEV_FEATURE_PRINT__: 'true' } }),
    },
  ],
}
