// Plain JavaScript, since an older Node cannot even read the sources: they are TypeScript, which Node 24 strips by itself.
const [major] = process.versions.node.split('.').map(Number);
if (major < 24) {
  console.error(
    `Pinhole needs Node 24 or later; this is ${process.versions.node}. On Linux (x64), \`npm ci\` brings the right one, unless it was told to omit optional dependencies.`,
  );
  process.exit(1);
}
