// The parts of the determinism law (src/ARCHITECTURE.md) that oxlint's own rules cannot say: no reading of the clock through Date's
// constructor, and no state that outlives a gateway because it belongs to a module. Loaded by .oxlintrc.json.

const noClockDate = {
  meta: { docs: { description: "no `new Date()` without an argument and no `Date()`: the time comes in through the Clock port" } },
  create(context) {
    const message = "reads the wall clock; take the time from the Clock port, as an argument or with the event";
    const isDate = (node) => node.type === "Identifier" && node.name === "Date";
    return {
      NewExpression(node) {
        if (isDate(node.callee) && node.arguments.length === 0) context.report({ node, message: `\`new Date()\` ${message}` });
      },
      CallExpression(node) {
        if (isDate(node.callee)) context.report({ node, message: `\`Date()\` ${message}` });
      },
    };
  },
};

const mutableClasses = new Set(["Map", "Set", "WeakMap", "WeakSet", "Array"]);
const readonlyTypes = new Set(["ReadonlyMap", "ReadonlySet", "ReadonlyArray"]);

function isEmptyContainer(node) {
  return (
    (node.type === "ArrayExpression" && node.elements.length === 0) || (node.type === "ObjectExpression" && node.properties.length === 0)
  );
}

function isReadonlyType(annotation) {
  const type = annotation?.typeAnnotation;
  if (type?.type === "TSTypeOperator") return type.operator === "readonly";
  return type?.type === "TSTypeReference" && readonlyTypes.has(type.typeName.name);
}

const noModuleState = {
  meta: { docs: { description: "no module-level variable that can change: two gateways of one simulated site would share it" } },
  create(context) {
    const message = "module-level state is shared by all gateways of a simulated site; keep it in an object that the gateway owns";
    const check = (declaration) => {
      if (declaration?.type !== "VariableDeclaration" || declaration.declare) return;
      if (declaration.kind !== "const") return context.report({ node: declaration, message });
      for (const { id, init } of declaration.declarations) {
        if (init === null || isReadonlyType(id.typeAnnotation)) continue;
        const grows = init.type === "NewExpression" && init.callee.type === "Identifier" && mutableClasses.has(init.callee.name);
        if (grows || isEmptyContainer(init))
          context.report({ node: init, message: `${message}, or declare it readonly (ReadonlyMap, ReadonlySet)` });
      }
    };
    return {
      Program(program) {
        for (const statement of program.body) check(statement.type === "ExportNamedDeclaration" ? statement.declaration : statement);
      },
    };
  },
};

export default {
  meta: { name: "determinism" },
  rules: { "no-clock-date": noClockDate, "no-module-state": noModuleState },
};
