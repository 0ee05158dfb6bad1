//==============================================================================
//
//  Copyright (c) 2020-2023 Qualcomm Technologies, Inc.
//  All Rights Reserved.
//  Confidential and Proprietary - Qualcomm Technologies, Inc.
//
//==============================================================================

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "QnnInterface.h"

#define VALIDATE(res, value) \
   do { \
      if (res == 0 || res == QNN_COMMON_ERROR_NOT_SUPPORTED) \
      { \
         res = value; \
         if (res != 0) \
         { \
            if (res == QNN_COMMON_ERROR_NOT_SUPPORTED) \
            { \
               printf("WARNING! Line %d QNN feature/API not supported\n", __LINE__); \
            } else { \
               printf("ERROR! Line %d with error value: %d\n", __LINE__, (unsigned int)error); \
            } \
         } \
      } \
   } \
   while(0)

int main(int argc, char** argv) {
   Qnn_ErrorHandle_t error = 0;
   QnnLog_Level_t logLevel = QNN_LOG_LEVEL_ERROR;
   int logging = 0;
   for (int i = 1; i < argc; i++) {
     char* arg = argv[i];
     if (!strcmp("--logging", arg) || !strcmp("-l", arg)) {
       logging = 1;
       if (i+1 == argc) {
         printf("No log level provided, defaulting to QNN_LOG_LEVEL_ERROR\n");
         break;
       }
       char* value = argv[++i];
       if (!strcmp("error", value)) {
         logLevel = QNN_LOG_LEVEL_ERROR;
       } else if (!strcmp("warn", value)) {
         logLevel = QNN_LOG_LEVEL_WARN;
       } else if (!strcmp("info", value)) {
         logLevel = QNN_LOG_LEVEL_INFO;
       } else if (!strcmp("debug", value)) {
         logLevel = QNN_LOG_LEVEL_DEBUG;
       } else if (!strcmp("verbose", value)) {
         logLevel = QNN_LOG_LEVEL_VERBOSE;
       } else {
         printf("WARNING: Unknown log level provided: %s, defaulting to QNN_LOG_LEVEL_ERROR\n", value);
       }
     } else {
       printf("Usage: %s [options]\n\n"
              "-l <level>, --logging <level>      Enable logging, acceptable levels are: error,warn,info,debug,verbose\n", argv[0]);
       return -1;
     }
   }

   FILE* fp = fopen("params.bin", "rb");
   if (!fp) {
     error = -1;
     printf("ERROR! Could not open params.bin, ensure this file is in the current working directory when executing this program.\n");
     return error;
   }

   const QnnInterface_t** providerList = NULL;
   uint32_t numProviders;
   VALIDATE(error, QnnInterface_getProviders(&providerList, &numProviders));
   QNN_INTERFACE_VER_TYPE interface = providerList[0]->QNN_INTERFACE_VER_NAME;

   Qnn_LogHandle_t loghandle= NULL;
   if (logging) {
     VALIDATE(error, interface.logCreate(NULL, logLevel, &loghandle));
   }

   const QnnBackend_Config_t* backend_0_config_0[] = {NULL};
   Qnn_BackendHandle_t backend_0;
   VALIDATE(error, interface.backendCreate(loghandle, backend_0_config_0, &backend_0));

   VALIDATE(error, interface.propertyHasCapability((QnnProperty_Key_t)1501));

   const QnnDevice_Config_t* device_0_config_0[] = {NULL};
   Qnn_DeviceHandle_t device_0;
   VALIDATE(error, interface.deviceCreate(loghandle, device_0_config_0, &device_0));

   const QnnContext_Config_t* context_0_config_0[] = {NULL};
   Qnn_ContextHandle_t context_0;
   VALIDATE(error, interface.contextCreate(backend_0, device_0, context_0_config_0, &context_0));

   Qnn_Param_t* node_5_0_params = NULL;
   uint32_t node_5_0_input_0_dims[] = {1, 6, 8, 8};
   Qnn_QuantizeParams_t node_5_0_input_0_quantizeParams = {(Qnn_Definition_t)1, (Qnn_QuantizationEncoding_t)0, .scaleOffsetEncoding = {0.027226856, 0}};
   Qnn_ClientBuffer_t node_5_0_input_0_clientBuf = {NULL, 0};
   Qnn_TensorV1_t node_5_0_input_0_v1 = {0, "r2.quantized", (Qnn_TensorType_t)3, 0, (Qnn_DataType_t)1032, node_5_0_input_0_quantizeParams, 4, node_5_0_input_0_dims, (Qnn_TensorMemType_t)0, node_5_0_input_0_clientBuf};
   Qnn_Tensor_t node_5_0_input_0 = {(Qnn_TensorVersion_t)1, .v1 = node_5_0_input_0_v1};

   uint32_t node_5_0_input_1_dims[] = {1, 6, 8, 8};
   Qnn_QuantizeParams_t node_5_0_input_1_quantizeParams = {(Qnn_Definition_t)1, (Qnn_QuantizationEncoding_t)0, .scaleOffsetEncoding = {0.0235294122, 0}};
   Qnn_ClientBuffer_t node_5_0_input_1_clientBuf = {NULL, 0};
   Qnn_TensorV1_t node_5_0_input_1_v1 = {0, "r1.quantized", (Qnn_TensorType_t)3, 0, (Qnn_DataType_t)1032, node_5_0_input_1_quantizeParams, 4, node_5_0_input_1_dims, (Qnn_TensorMemType_t)0, node_5_0_input_1_clientBuf};
   Qnn_Tensor_t node_5_0_input_1 = {(Qnn_TensorVersion_t)1, .v1 = node_5_0_input_1_v1};

   Qnn_Tensor_t node_5_0_inputs[] = {node_5_0_input_0, node_5_0_input_1};
   uint32_t node_5_0_output_0_dims[] = {1, 6, 8, 8};
   Qnn_QuantizeParams_t node_5_0_output_0_quantizeParams = {(Qnn_Definition_t)1, (Qnn_QuantizationEncoding_t)0, .scaleOffsetEncoding = {0.0289888829, 0}};
   Qnn_ClientBuffer_t node_5_0_output_0_clientBuf = {NULL, 0};
   Qnn_TensorV1_t node_5_0_output_0_v1 = {0, "s.quantized", (Qnn_TensorType_t)3, 0, (Qnn_DataType_t)1032, node_5_0_output_0_quantizeParams, 4, node_5_0_output_0_dims, (Qnn_TensorMemType_t)0, node_5_0_output_0_clientBuf};
   Qnn_Tensor_t node_5_0_output_0 = {(Qnn_TensorVersion_t)1, .v1 = node_5_0_output_0_v1};

   Qnn_Tensor_t node_5_0_outputs[] = {node_5_0_output_0};
   Qnn_OpConfigV1_t node_5_0_v1 = {"node_5", "qti.aisw", "ElementWiseAdd", 0, node_5_0_params, 2, node_5_0_inputs, 1, node_5_0_outputs};
   Qnn_OpConfig_t node_5_0 = {(Qnn_OpConfigVersion_t)1, .v1 = node_5_0_v1};
   VALIDATE(error, interface.backendValidateOpConfig(backend_0, node_5_0));

   Qnn_Param_t* node_Reshape_0_0_params = NULL;
   uint32_t node_Reshape_0_0_input_0_dims[] = {1, 6, 1, 1};
   Qnn_QuantizeParams_t node_Reshape_0_0_input_0_quantizeParams = {(Qnn_Definition_t)1, (Qnn_QuantizationEncoding_t)0, .scaleOffsetEncoding = {0.0145251853, 0}};
   Qnn_ClientBuffer_t node_Reshape_0_0_input_0_clientBuf = {NULL, 0};
   Qnn_TensorV1_t node_Reshape_0_0_input_0_v1 = {0, "g.quantized", (Qnn_TensorType_t)3, 0, (Qnn_DataType_t)1032, node_Reshape_0_0_input_0_quantizeParams, 4, node_Reshape_0_0_input_0_dims, (Qnn_TensorMemType_t)0, node_Reshape_0_0_input_0_clientBuf};
   Qnn_Tensor_t node_Reshape_0_0_input_0 = {(Qnn_TensorVersion_t)1, .v1 = node_Reshape_0_0_input_0_v1};

   Qnn_Tensor_t node_Reshape_0_0_inputs[] = {node_Reshape_0_0_input_0};
   uint32_t node_Reshape_0_0_output_0_dims[] = {1, 6};
   Qnn_QuantizeParams_t node_Reshape_0_0_output_0_quantizeParams = {(Qnn_Definition_t)1, (Qnn_QuantizationEncoding_t)0, .scaleOffsetEncoding = {0.0145251853, 0}};
   Qnn_ClientBuffer_t node_Reshape_0_0_output_0_clientBuf = {NULL, 0};
   Qnn_TensorV1_t node_Reshape_0_0_output_0_v1 = {0, "f.quantized", (Qnn_TensorType_t)3, 0, (Qnn_DataType_t)1032, node_Reshape_0_0_output_0_quantizeParams, 2, node_Reshape_0_0_output_0_dims, (Qnn_TensorMemType_t)0, node_Reshape_0_0_output_0_clientBuf};
   Qnn_Tensor_t node_Reshape_0_0_output_0 = {(Qnn_TensorVersion_t)1, .v1 = node_Reshape_0_0_output_0_v1};

   Qnn_Tensor_t node_Reshape_0_0_outputs[] = {node_Reshape_0_0_output_0};
   Qnn_OpConfigV1_t node_Reshape_0_0_v1 = {"node_Reshape_0", "qti.aisw", "Reshape", 0, node_Reshape_0_0_params, 1, node_Reshape_0_0_inputs, 1, node_Reshape_0_0_outputs};
   Qnn_OpConfig_t node_Reshape_0_0 = {(Qnn_OpConfigVersion_t)1, .v1 = node_Reshape_0_0_v1};
   VALIDATE(error, interface.backendValidateOpConfig(backend_0, node_Reshape_0_0));

   Qnn_Param_t* node_8_0_params = NULL;
   uint32_t node_8_0_input_0_dims[] = {1, 6};
   Qnn_QuantizeParams_t node_8_0_input_0_quantizeParams = {(Qnn_Definition_t)1, (Qnn_QuantizationEncoding_t)0, .scaleOffsetEncoding = {0.0145251853, 0}};
   Qnn_ClientBuffer_t node_8_0_input_0_clientBuf = {NULL, 0};
   Qnn_TensorV1_t node_8_0_input_0_v1 = {0, "f.quantized", (Qnn_TensorType_t)3, 0, (Qnn_DataType_t)1032, node_8_0_input_0_quantizeParams, 2, node_8_0_input_0_dims, (Qnn_TensorMemType_t)0, node_8_0_input_0_clientBuf};
   Qnn_Tensor_t node_8_0_input_0 = {(Qnn_TensorVersion_t)1, .v1 = node_8_0_input_0_v1};

   uint32_t node_8_0_input_1_dims[] = {4, 6};
   Qnn_ScaleOffset_t node_8_0_input_1_quantizeParams_scaleOffsets[] = {{0.00557672977, 0}, {0.00526534347, 0}, {0.010849636, 0}, {0.00923546497, 0}};
   Qnn_AxisScaleOffset_t node_8_0_input_1_quantizeParams_axisScaleOffset = {0, 4, node_8_0_input_1_quantizeParams_scaleOffsets};
   Qnn_QuantizeParams_t node_8_0_input_1_quantizeParams = {(Qnn_Definition_t)1, (Qnn_QuantizationEncoding_t)1, .axisScaleOffsetEncoding = node_8_0_input_1_quantizeParams_axisScaleOffset};
   static int8_t node_8_0_input_1_data[24];
   fread(node_8_0_input_1_data, 1, 24, fp);
   Qnn_ClientBuffer_t node_8_0_input_1_clientBuf = {(void*)node_8_0_input_1_data, 24};
   Qnn_TensorV1_t node_8_0_input_1_v1 = {0, "w3.integers", (Qnn_TensorType_t)4, 0, (Qnn_DataType_t)776, node_8_0_input_1_quantizeParams, 2, node_8_0_input_1_dims, (Qnn_TensorMemType_t)0, node_8_0_input_1_clientBuf};
   Qnn_Tensor_t node_8_0_input_1 = {(Qnn_TensorVersion_t)1, .v1 = node_8_0_input_1_v1};

   uint32_t node_8_0_input_2_dims[] = {4};
   Qnn_ScaleOffset_t node_8_0_input_2_quantizeParams_scaleOffsets[] = {{8.10030324e-05, 0}, {7.64800861e-05, 0}, {0.000157592978, 0}, {0.000134146845, 0}};
   Qnn_AxisScaleOffset_t node_8_0_input_2_quantizeParams_axisScaleOffset = {0, 4, node_8_0_input_2_quantizeParams_scaleOffsets};
   Qnn_QuantizeParams_t node_8_0_input_2_quantizeParams = {(Qnn_Definition_t)1, (Qnn_QuantizationEncoding_t)1, .axisScaleOffsetEncoding = node_8_0_input_2_quantizeParams_axisScaleOffset};
   static int32_t node_8_0_input_2_data[4];
   fread(node_8_0_input_2_data, 4, 4, fp);
   Qnn_ClientBuffer_t node_8_0_input_2_clientBuf = {(void*)node_8_0_input_2_data, 16};
   Qnn_TensorV1_t node_8_0_input_2_v1 = {0, "logits.bias.integers", (Qnn_TensorType_t)4, 0, (Qnn_DataType_t)818, node_8_0_input_2_quantizeParams, 1, node_8_0_input_2_dims, (Qnn_TensorMemType_t)0, node_8_0_input_2_clientBuf};
   Qnn_Tensor_t node_8_0_input_2 = {(Qnn_TensorVersion_t)1, .v1 = node_8_0_input_2_v1};

   Qnn_Tensor_t node_8_0_inputs[] = {node_8_0_input_0, node_8_0_input_1, node_8_0_input_2};
   uint32_t node_8_0_output_0_dims[] = {1, 4};
   Qnn_QuantizeParams_t node_8_0_output_0_quantizeParams = {(Qnn_Definition_t)2147483647, (Qnn_QuantizationEncoding_t)2147483647, .scaleOffsetEncoding = {0.0, 0}};
   Qnn_ClientBuffer_t node_8_0_output_0_clientBuf = {NULL, 0};
   Qnn_TensorV1_t node_8_0_output_0_v1 = {0, "logits", (Qnn_TensorType_t)1, 0, (Qnn_DataType_t)562, node_8_0_output_0_quantizeParams, 2, node_8_0_output_0_dims, (Qnn_TensorMemType_t)0, node_8_0_output_0_clientBuf};
   Qnn_Tensor_t node_8_0_output_0 = {(Qnn_TensorVersion_t)1, .v1 = node_8_0_output_0_v1};

   Qnn_Tensor_t node_8_0_outputs[] = {node_8_0_output_0};
   Qnn_OpConfigV1_t node_8_0_v1 = {"node_8", "qti.aisw", "FullyConnected", 0, node_8_0_params, 3, node_8_0_inputs, 1, node_8_0_outputs};
   Qnn_OpConfig_t node_8_0 = {(Qnn_OpConfigVersion_t)1, .v1 = node_8_0_v1};
   VALIDATE(error, interface.backendValidateOpConfig(backend_0, node_8_0));

   uint32_t Transpose_token_23_0_param_0_tensor_dims[] = {4};
   Qnn_QuantizeParams_t Transpose_token_23_0_param_0_tensor_quantizeParams = {(Qnn_Definition_t)2147483647, (Qnn_QuantizationEncoding_t)2147483647, .scaleOffsetEncoding = {0.0, 0}};
   static uint32_t Transpose_token_23_0_param_0_tensor_data[4];
   fread(Transpose_token_23_0_param_0_tensor_data, 4, 4, fp);
   Qnn_ClientBuffer_t Transpose_token_23_0_param_0_tensor_clientBuf = {(void*)Transpose_token_23_0_param_0_tensor_data, 16};
   Qnn_TensorV1_t Transpose_token_23_0_param_0_tensor_v1 = {0, "Transpose_token_23_49_perm", (Qnn_TensorType_t)4, 0, (Qnn_DataType_t)306, Transpose_token_23_0_param_0_tensor_quantizeParams, 1, Transpose_token_23_0_param_0_tensor_dims, (Qnn_TensorMemType_t)0, Transpose_token_23_0_param_0_tensor_clientBuf};
   Qnn_Tensor_t Transpose_token_23_0_param_0_tensor = {(Qnn_TensorVersion_t)1, .v1 = Transpose_token_23_0_param_0_tensor_v1};
   Qnn_Param_t Transpose_token_23_0_param_0 = {(Qnn_ParamType_t)1, "perm", .tensorParam = Transpose_token_23_0_param_0_tensor};

   Qnn_Param_t Transpose_token_23_0_params[] = {Transpose_token_23_0_param_0};
   uint32_t Transpose_token_23_0_input_0_dims[] = {1, 3, 8, 8};
   Qnn_QuantizeParams_t Transpose_token_23_0_input_0_quantizeParams = {(Qnn_Definition_t)1, (Qnn_QuantizationEncoding_t)0, .scaleOffsetEncoding = {0.0282812547, -122}};
   Qnn_ClientBuffer_t Transpose_token_23_0_input_0_clientBuf = {NULL, 0};
   Qnn_TensorV1_t Transpose_token_23_0_input_0_v1 = {0, "images.quantized", (Qnn_TensorType_t)3, 0, (Qnn_DataType_t)1032, Transpose_token_23_0_input_0_quantizeParams, 4, Transpose_token_23_0_input_0_dims, (Qnn_TensorMemType_t)0, Transpose_token_23_0_input_0_clientBuf};
   Qnn_Tensor_t Transpose_token_23_0_input_0 = {(Qnn_TensorVersion_t)1, .v1 = Transpose_token_23_0_input_0_v1};

   Qnn_Tensor_t Transpose_token_23_0_inputs[] = {Transpose_token_23_0_input_0};
   uint32_t Transpose_token_23_0_output_0_dims[] = {1, 8, 8, 3};
   Qnn_QuantizeParams_t Transpose_token_23_0_output_0_quantizeParams = {(Qnn_Definition_t)1, (Qnn_QuantizationEncoding_t)0, .scaleOffsetEncoding = {0.0282812547, -122}};
   Qnn_ClientBuffer_t Transpose_token_23_0_output_0_clientBuf = {NULL, 0};
   Qnn_TensorV1_t Transpose_token_23_0_output_0_v1 = {0, "QuantizeLinear_token_36_out0", (Qnn_TensorType_t)3, 0, (Qnn_DataType_t)1032, Transpose_token_23_0_output_0_quantizeParams, 4, Transpose_token_23_0_output_0_dims, (Qnn_TensorMemType_t)0, Transpose_token_23_0_output_0_clientBuf};
   Qnn_Tensor_t Transpose_token_23_0_output_0 = {(Qnn_TensorVersion_t)1, .v1 = Transpose_token_23_0_output_0_v1};

   Qnn_Tensor_t Transpose_token_23_0_outputs[] = {Transpose_token_23_0_output_0};
   Qnn_OpConfigV1_t Transpose_token_23_0_v1 = {"Transpose_token_23", "qti.aisw", "Transpose", 1, Transpose_token_23_0_params, 1, Transpose_token_23_0_inputs, 1, Transpose_token_23_0_outputs};
   Qnn_OpConfig_t Transpose_token_23_0 = {(Qnn_OpConfigVersion_t)1, .v1 = Transpose_token_23_0_v1};
   VALIDATE(error, interface.backendValidateOpConfig(backend_0, Transpose_token_23_0));

   uint32_t n1_fused_token_2_0_param_0_tensor_dims[] = {2};
   Qnn_QuantizeParams_t n1_fused_token_2_0_param_0_tensor_quantizeParams = {(Qnn_Definition_t)2147483647, (Qnn_QuantizationEncoding_t)2147483647, .scaleOffsetEncoding = {0.0, 0}};
   static uint32_t n1_fused_token_2_0_param_0_tensor_data[2];
   fread(n1_fused_token_2_0_param_0_tensor_data, 4, 2, fp);
   Qnn_ClientBuffer_t n1_fused_token_2_0_param_0_tensor_clientBuf = {(void*)n1_fused_token_2_0_param_0_tensor_data, 8};
   Qnn_TensorV1_t n1_fused_token_2_0_param_0_tensor_v1 = {0, "n1.fused_token_2_32_dilation", (Qnn_TensorType_t)4, 0, (Qnn_DataType_t)306, n1_fused_token_2_0_param_0_tensor_quantizeParams, 1, n1_fused_token_2_0_param_0_tensor_dims, (Qnn_TensorMemType_t)0, n1_fused_token_2_0_param_0_tensor_clientBuf};
   Qnn_Tensor_t n1_fused_token_2_0_param_0_tensor = {(Qnn_TensorVersion_t)1, .v1 = n1_fused_token_2_0_param_0_tensor_v1};
   Qnn_Param_t n1_fused_token_2_0_param_0 = {(Qnn_ParamType_t)1, "dilation", .tensorParam = n1_fused_token_2_0_param_0_tensor};

   uint32_t n1_fused_token_2_0_param_1_tensor_dims[] = {2};
   Qnn_QuantizeParams_t n1_fused_token_2_0_param_1_tensor_quantizeParams = {(Qnn_Definition_t)2147483647, (Qnn_QuantizationEncoding_t)2147483647, .scaleOffsetEncoding = {0.0, 0}};
   static uint32_t n1_fused_token_2_0_param_1_tensor_data[2];
   fread(n1_fused_token_2_0_param_1_tensor_data, 4, 2, fp);
   Qnn_ClientBuffer_t n1_fused_token_2_0_param_1_tensor_clientBuf = {(void*)n1_fused_token_2_0_param_1_tensor_data, 8};
   Qnn_TensorV1_t n1_fused_token_2_0_param_1_tensor_v1 = {0, "n1.fused_token_2_32_stride", (Qnn_TensorType_t)4, 0, (Qnn_DataType_t)306, n1_fused_token_2_0_param_1_tensor_quantizeParams, 1, n1_fused_token_2_0_param_1_tensor_dims, (Qnn_TensorMemType_t)0, n1_fused_token_2_0_param_1_tensor_clientBuf};
   Qnn_Tensor_t n1_fused_token_2_0_param_1_tensor = {(Qnn_TensorVersion_t)1, .v1 = n1_fused_token_2_0_param_1_tensor_v1};
   Qnn_Param_t n1_fused_token_2_0_param_1 = {(Qnn_ParamType_t)1, "stride", .tensorParam = n1_fused_token_2_0_param_1_tensor};

   uint32_t n1_fused_token_2_0_param_2_tensor_dims[] = {2, 2};
   Qnn_QuantizeParams_t n1_fused_token_2_0_param_2_tensor_quantizeParams = {(Qnn_Definition_t)2147483647, (Qnn_QuantizationEncoding_t)2147483647, .scaleOffsetEncoding = {0.0, 0}};
   static uint32_t n1_fused_token_2_0_param_2_tensor_data[4];
   fread(n1_fused_token_2_0_param_2_tensor_data, 4, 4, fp);
   Qnn_ClientBuffer_t n1_fused_token_2_0_param_2_tensor_clientBuf = {(void*)n1_fused_token_2_0_param_2_tensor_data, 16};
   Qnn_TensorV1_t n1_fused_token_2_0_param_2_tensor_v1 = {0, "n1.fused_token_2_32_pad_amount", (Qnn_TensorType_t)4, 0, (Qnn_DataType_t)306, n1_fused_token_2_0_param_2_tensor_quantizeParams, 2, n1_fused_token_2_0_param_2_tensor_dims, (Qnn_TensorMemType_t)0, n1_fused_token_2_0_param_2_tensor_clientBuf};
   Qnn_Tensor_t n1_fused_token_2_0_param_2_tensor = {(Qnn_TensorVersion_t)1, .v1 = n1_fused_token_2_0_param_2_tensor_v1};
   Qnn_Param_t n1_fused_token_2_0_param_2 = {(Qnn_ParamType_t)1, "pad_amount", .tensorParam = n1_fused_token_2_0_param_2_tensor};

   Qnn_Scalar_t n1_fused_token_2_0_param_3_scalar = {(Qnn_DataType_t)306, .uint32Value = 1};
   Qnn_Param_t n1_fused_token_2_0_param_3 = {(Qnn_ParamType_t)0, "group", .scalarParam = n1_fused_token_2_0_param_3_scalar};

   Qnn_Scalar_t n1_fused_token_2_0_param_4_scalar = {(Qnn_DataType_t)1288, .bool8Value = 0};
   Qnn_Param_t n1_fused_token_2_0_param_4 = {(Qnn_ParamType_t)0, "reuse_sparse_indices", .scalarParam = n1_fused_token_2_0_param_4_scalar};

   Qnn_Param_t n1_fused_token_2_0_params[] = {n1_fused_token_2_0_param_0, n1_fused_token_2_0_param_1, n1_fused_token_2_0_param_2, n1_fused_token_2_0_param_3, n1_fused_token_2_0_param_4};
   uint32_t n1_fused_token_2_0_input_0_dims[] = {1, 8, 8, 3};
   Qnn_QuantizeParams_t n1_fused_token_2_0_input_0_quantizeParams = {(Qnn_Definition_t)1, (Qnn_QuantizationEncoding_t)0, .scaleOffsetEncoding = {0.0282812547, -122}};
   Qnn_ClientBuffer_t n1_fused_token_2_0_input_0_clientBuf = {NULL, 0};
   Qnn_TensorV1_t n1_fused_token_2_0_input_0_v1 = {0, "QuantizeLinear_token_36_out0", (Qnn_TensorType_t)3, 0, (Qnn_DataType_t)1032, n1_fused_token_2_0_input_0_quantizeParams, 4, n1_fused_token_2_0_input_0_dims, (Qnn_TensorMemType_t)0, n1_fused_token_2_0_input_0_clientBuf};
   Qnn_Tensor_t n1_fused_token_2_0_input_0 = {(Qnn_TensorVersion_t)1, .v1 = n1_fused_token_2_0_input_0_v1};

   uint32_t n1_fused_token_2_0_input_1_dims[] = {3, 3, 3, 6};
   Qnn_ScaleOffset_t n1_fused_token_2_0_input_1_quantizeParams_scaleOffsets[] = {{0.00877468847, 0}, {0.00323934271, 0}, {0.00562989293, 0}, {0.00018461961, 0}, {0.00334639288, 0}, {0.00163026329, 0}};
   Qnn_AxisScaleOffset_t n1_fused_token_2_0_input_1_quantizeParams_axisScaleOffset = {3, 6, n1_fused_token_2_0_input_1_quantizeParams_scaleOffsets};
   Qnn_QuantizeParams_t n1_fused_token_2_0_input_1_quantizeParams = {(Qnn_Definition_t)1, (Qnn_QuantizationEncoding_t)1, .axisScaleOffsetEncoding = n1_fused_token_2_0_input_1_quantizeParams_axisScaleOffset};
   static int8_t n1_fused_token_2_0_input_1_data[162];
   fread(n1_fused_token_2_0_input_1_data, 1, 162, fp);
   Qnn_ClientBuffer_t n1_fused_token_2_0_input_1_clientBuf = {(void*)n1_fused_token_2_0_input_1_data, 162};
   Qnn_TensorV1_t n1_fused_token_2_0_input_1_v1 = {0, "n1.weight.integers", (Qnn_TensorType_t)4, 0, (Qnn_DataType_t)776, n1_fused_token_2_0_input_1_quantizeParams, 4, n1_fused_token_2_0_input_1_dims, (Qnn_TensorMemType_t)0, n1_fused_token_2_0_input_1_clientBuf};
   Qnn_Tensor_t n1_fused_token_2_0_input_1 = {(Qnn_TensorVersion_t)1, .v1 = n1_fused_token_2_0_input_1_v1};

   uint32_t n1_fused_token_2_0_input_2_dims[] = {6};
   Qnn_ScaleOffset_t n1_fused_token_2_0_input_2_quantizeParams_scaleOffsets[] = {{0.000248159195, 0}, {9.16126737e-05, 0}, {0.000159220435, 0}, {5.22127402e-06, 0}, {9.46401924e-05, 0}, {4.61058917e-05, 0}};
   Qnn_AxisScaleOffset_t n1_fused_token_2_0_input_2_quantizeParams_axisScaleOffset = {0, 6, n1_fused_token_2_0_input_2_quantizeParams_scaleOffsets};
   Qnn_QuantizeParams_t n1_fused_token_2_0_input_2_quantizeParams = {(Qnn_Definition_t)1, (Qnn_QuantizationEncoding_t)1, .axisScaleOffsetEncoding = n1_fused_token_2_0_input_2_quantizeParams_axisScaleOffset};
   static int32_t n1_fused_token_2_0_input_2_data[6];
   fread(n1_fused_token_2_0_input_2_data, 4, 6, fp);
   Qnn_ClientBuffer_t n1_fused_token_2_0_input_2_clientBuf = {(void*)n1_fused_token_2_0_input_2_data, 24};
   Qnn_TensorV1_t n1_fused_token_2_0_input_2_v1 = {0, "n1.fused.bias.integers", (Qnn_TensorType_t)4, 0, (Qnn_DataType_t)818, n1_fused_token_2_0_input_2_quantizeParams, 1, n1_fused_token_2_0_input_2_dims, (Qnn_TensorMemType_t)0, n1_fused_token_2_0_input_2_clientBuf};
   Qnn_Tensor_t n1_fused_token_2_0_input_2 = {(Qnn_TensorVersion_t)1, .v1 = n1_fused_token_2_0_input_2_v1};

   Qnn_Tensor_t n1_fused_token_2_0_inputs[] = {n1_fused_token_2_0_input_0, n1_fused_token_2_0_input_1, n1_fused_token_2_0_input_2};
   uint32_t n1_fused_token_2_0_output_0_dims[] = {1, 8, 8, 6};
   Qnn_QuantizeParams_t n1_fused_token_2_0_output_0_quantizeParams = {(Qnn_Definition_t)1, (Qnn_QuantizationEncoding_t)0, .scaleOffsetEncoding = {0.0235294122, 0}};
   Qnn_ClientBuffer_t n1_fused_token_2_0_output_0_clientBuf = {NULL, 0};
   Qnn_TensorV1_t n1_fused_token_2_0_output_0_v1 = {0, "r1.q", (Qnn_TensorType_t)3, 0, (Qnn_DataType_t)1032, n1_fused_token_2_0_output_0_quantizeParams, 4, n1_fused_token_2_0_output_0_dims, (Qnn_TensorMemType_t)0, n1_fused_token_2_0_output_0_clientBuf};
   Qnn_Tensor_t n1_fused_token_2_0_output_0 = {(Qnn_TensorVersion_t)1, .v1 = n1_fused_token_2_0_output_0_v1};

   Qnn_Tensor_t n1_fused_token_2_0_outputs[] = {n1_fused_token_2_0_output_0};
   Qnn_OpConfigV1_t n1_fused_token_2_0_v1 = {"n1.fused_token_2", "qti.aisw", "Conv2d", 5, n1_fused_token_2_0_params, 3, n1_fused_token_2_0_inputs, 1, n1_fused_token_2_0_outputs};
   Qnn_OpConfig_t n1_fused_token_2_0 = {(Qnn_OpConfigVersion_t)1, .v1 = n1_fused_token_2_0_v1};
   VALIDATE(error, interface.backendValidateOpConfig(backend_0, n1_fused_token_2_0));

   uint32_t node_3_token_8_0_param_0_tensor_dims[] = {2};
   Qnn_QuantizeParams_t node_3_token_8_0_param_0_tensor_quantizeParams = {(Qnn_Definition_t)2147483647, (Qnn_QuantizationEncoding_t)2147483647, .scaleOffsetEncoding = {0.0, 0}};
   static uint32_t node_3_token_8_0_param_0_tensor_data[2];
   fread(node_3_token_8_0_param_0_tensor_data, 4, 2, fp);
   Qnn_ClientBuffer_t node_3_token_8_0_param_0_tensor_clientBuf = {(void*)node_3_token_8_0_param_0_tensor_data, 8};
   Qnn_TensorV1_t node_3_token_8_0_param_0_tensor_v1 = {0, "node_3_token_8_37_dilation", (Qnn_TensorType_t)4, 0, (Qnn_DataType_t)306, node_3_token_8_0_param_0_tensor_quantizeParams, 1, node_3_token_8_0_param_0_tensor_dims, (Qnn_TensorMemType_t)0, node_3_token_8_0_param_0_tensor_clientBuf};
   Qnn_Tensor_t node_3_token_8_0_param_0_tensor = {(Qnn_TensorVersion_t)1, .v1 = node_3_token_8_0_param_0_tensor_v1};
   Qnn_Param_t node_3_token_8_0_param_0 = {(Qnn_ParamType_t)1, "dilation", .tensorParam = node_3_token_8_0_param_0_tensor};

   uint32_t node_3_token_8_0_param_1_tensor_dims[] = {2};
   Qnn_QuantizeParams_t node_3_token_8_0_param_1_tensor_quantizeParams = {(Qnn_Definition_t)2147483647, (Qnn_QuantizationEncoding_t)2147483647, .scaleOffsetEncoding = {0.0, 0}};
   static uint32_t node_3_token_8_0_param_1_tensor_data[2];
   fread(node_3_token_8_0_param_1_tensor_data, 4, 2, fp);
   Qnn_ClientBuffer_t node_3_token_8_0_param_1_tensor_clientBuf = {(void*)node_3_token_8_0_param_1_tensor_data, 8};
   Qnn_TensorV1_t node_3_token_8_0_param_1_tensor_v1 = {0, "node_3_token_8_37_stride", (Qnn_TensorType_t)4, 0, (Qnn_DataType_t)306, node_3_token_8_0_param_1_tensor_quantizeParams, 1, node_3_token_8_0_param_1_tensor_dims, (Qnn_TensorMemType_t)0, node_3_token_8_0_param_1_tensor_clientBuf};
   Qnn_Tensor_t node_3_token_8_0_param_1_tensor = {(Qnn_TensorVersion_t)1, .v1 = node_3_token_8_0_param_1_tensor_v1};
   Qnn_Param_t node_3_token_8_0_param_1 = {(Qnn_ParamType_t)1, "stride", .tensorParam = node_3_token_8_0_param_1_tensor};

   uint32_t node_3_token_8_0_param_2_tensor_dims[] = {2, 2};
   Qnn_QuantizeParams_t node_3_token_8_0_param_2_tensor_quantizeParams = {(Qnn_Definition_t)2147483647, (Qnn_QuantizationEncoding_t)2147483647, .scaleOffsetEncoding = {0.0, 0}};
   static uint32_t node_3_token_8_0_param_2_tensor_data[4];
   fread(node_3_token_8_0_param_2_tensor_data, 4, 4, fp);
   Qnn_ClientBuffer_t node_3_token_8_0_param_2_tensor_clientBuf = {(void*)node_3_token_8_0_param_2_tensor_data, 16};
   Qnn_TensorV1_t node_3_token_8_0_param_2_tensor_v1 = {0, "node_3_token_8_37_pad_amount", (Qnn_TensorType_t)4, 0, (Qnn_DataType_t)306, node_3_token_8_0_param_2_tensor_quantizeParams, 2, node_3_token_8_0_param_2_tensor_dims, (Qnn_TensorMemType_t)0, node_3_token_8_0_param_2_tensor_clientBuf};
   Qnn_Tensor_t node_3_token_8_0_param_2_tensor = {(Qnn_TensorVersion_t)1, .v1 = node_3_token_8_0_param_2_tensor_v1};
   Qnn_Param_t node_3_token_8_0_param_2 = {(Qnn_ParamType_t)1, "pad_amount", .tensorParam = node_3_token_8_0_param_2_tensor};

   Qnn_Param_t node_3_token_8_0_params[] = {node_3_token_8_0_param_0, node_3_token_8_0_param_1, node_3_token_8_0_param_2};
   uint32_t node_3_token_8_0_input_0_dims[] = {1, 8, 8, 6};
   Qnn_QuantizeParams_t node_3_token_8_0_input_0_quantizeParams = {(Qnn_Definition_t)1, (Qnn_QuantizationEncoding_t)0, .scaleOffsetEncoding = {0.0235294122, 0}};
   Qnn_ClientBuffer_t node_3_token_8_0_input_0_clientBuf = {NULL, 0};
   Qnn_TensorV1_t node_3_token_8_0_input_0_v1 = {0, "r1.q", (Qnn_TensorType_t)3, 0, (Qnn_DataType_t)1032, node_3_token_8_0_input_0_quantizeParams, 4, node_3_token_8_0_input_0_dims, (Qnn_TensorMemType_t)0, node_3_token_8_0_input_0_clientBuf};
   Qnn_Tensor_t node_3_token_8_0_input_0 = {(Qnn_TensorVersion_t)1, .v1 = node_3_token_8_0_input_0_v1};

   uint32_t node_3_token_8_0_input_1_dims[] = {3, 3, 1, 6};
   Qnn_ScaleOffset_t node_3_token_8_0_input_1_quantizeParams_scaleOffsets[] = {{0.00646949466, 0}, {0.0063194856, 0}, {0.00909591932, 0}, {0.0120710107, 0}, {0.00696264533, 0}, {0.0122296726, 0}};
   Qnn_AxisScaleOffset_t node_3_token_8_0_input_1_quantizeParams_axisScaleOffset = {3, 6, node_3_token_8_0_input_1_quantizeParams_scaleOffsets};
   Qnn_QuantizeParams_t node_3_token_8_0_input_1_quantizeParams = {(Qnn_Definition_t)1, (Qnn_QuantizationEncoding_t)1, .axisScaleOffsetEncoding = node_3_token_8_0_input_1_quantizeParams_axisScaleOffset};
   static int8_t node_3_token_8_0_input_1_data[54];
   fread(node_3_token_8_0_input_1_data, 1, 54, fp);
   Qnn_ClientBuffer_t node_3_token_8_0_input_1_clientBuf = {(void*)node_3_token_8_0_input_1_data, 54};
   Qnn_TensorV1_t node_3_token_8_0_input_1_v1 = {0, "w2.integers", (Qnn_TensorType_t)4, 0, (Qnn_DataType_t)776, node_3_token_8_0_input_1_quantizeParams, 4, node_3_token_8_0_input_1_dims, (Qnn_TensorMemType_t)0, node_3_token_8_0_input_1_clientBuf};
   Qnn_Tensor_t node_3_token_8_0_input_1 = {(Qnn_TensorVersion_t)1, .v1 = node_3_token_8_0_input_1_v1};

   uint32_t node_3_token_8_0_input_2_dims[] = {6};
   Qnn_ScaleOffset_t node_3_token_8_0_input_2_quantizeParams_scaleOffsets[] = {{0.000152223409, 0}, {0.000148693784, 0}, {0.000214021638, 0}, {0.000284023787, 0}, {0.000163826946, 0}, {0.000287757022, 0}};
   Qnn_AxisScaleOffset_t node_3_token_8_0_input_2_quantizeParams_axisScaleOffset = {0, 6, node_3_token_8_0_input_2_quantizeParams_scaleOffsets};
   Qnn_QuantizeParams_t node_3_token_8_0_input_2_quantizeParams = {(Qnn_Definition_t)1, (Qnn_QuantizationEncoding_t)1, .axisScaleOffsetEncoding = node_3_token_8_0_input_2_quantizeParams_axisScaleOffset};
   static int32_t node_3_token_8_0_input_2_data[6];
   fread(node_3_token_8_0_input_2_data, 4, 6, fp);
   Qnn_ClientBuffer_t node_3_token_8_0_input_2_clientBuf = {(void*)node_3_token_8_0_input_2_data, 24};
   Qnn_TensorV1_t node_3_token_8_0_input_2_v1 = {0, "c2.bias.integers", (Qnn_TensorType_t)4, 0, (Qnn_DataType_t)818, node_3_token_8_0_input_2_quantizeParams, 1, node_3_token_8_0_input_2_dims, (Qnn_TensorMemType_t)0, node_3_token_8_0_input_2_clientBuf};
   Qnn_Tensor_t node_3_token_8_0_input_2 = {(Qnn_TensorVersion_t)1, .v1 = node_3_token_8_0_input_2_v1};

   Qnn_Tensor_t node_3_token_8_0_inputs[] = {node_3_token_8_0_input_0, node_3_token_8_0_input_1, node_3_token_8_0_input_2};
   uint32_t node_3_token_8_0_output_0_dims[] = {1, 8, 8, 6};
   Qnn_QuantizeParams_t node_3_token_8_0_output_0_quantizeParams = {(Qnn_Definition_t)1, (Qnn_QuantizationEncoding_t)0, .scaleOffsetEncoding = {0.027226856, 0}};
   Qnn_ClientBuffer_t node_3_token_8_0_output_0_clientBuf = {NULL, 0};
   Qnn_TensorV1_t node_3_token_8_0_output_0_v1 = {0, "r2.q", (Qnn_TensorType_t)3, 0, (Qnn_DataType_t)1032, node_3_token_8_0_output_0_quantizeParams, 4, node_3_token_8_0_output_0_dims, (Qnn_TensorMemType_t)0, node_3_token_8_0_output_0_clientBuf};
   Qnn_Tensor_t node_3_token_8_0_output_0 = {(Qnn_TensorVersion_t)1, .v1 = node_3_token_8_0_output_0_v1};

   Qnn_Tensor_t node_3_token_8_0_outputs[] = {node_3_token_8_0_output_0};
   Qnn_OpConfigV1_t node_3_token_8_0_v1 = {"node_3_token_8", "qti.aisw", "DepthWiseConv2d", 3, node_3_token_8_0_params, 3, node_3_token_8_0_inputs, 1, node_3_token_8_0_outputs};
   Qnn_OpConfig_t node_3_token_8_0 = {(Qnn_OpConfigVersion_t)1, .v1 = node_3_token_8_0_v1};
   VALIDATE(error, interface.backendValidateOpConfig(backend_0, node_3_token_8_0));

   Qnn_Param_t* node_5_2_0_params = NULL;
   uint32_t node_5_2_0_input_0_dims[] = {1, 8, 8, 6};
   Qnn_QuantizeParams_t node_5_2_0_input_0_quantizeParams = {(Qnn_Definition_t)1, (Qnn_QuantizationEncoding_t)0, .scaleOffsetEncoding = {0.027226856, 0}};
   Qnn_ClientBuffer_t node_5_2_0_input_0_clientBuf = {NULL, 0};
   Qnn_TensorV1_t node_5_2_0_input_0_v1 = {0, "r2.q", (Qnn_TensorType_t)3, 0, (Qnn_DataType_t)1032, node_5_2_0_input_0_quantizeParams, 4, node_5_2_0_input_0_dims, (Qnn_TensorMemType_t)0, node_5_2_0_input_0_clientBuf};
   Qnn_Tensor_t node_5_2_0_input_0 = {(Qnn_TensorVersion_t)1, .v1 = node_5_2_0_input_0_v1};

   uint32_t node_5_2_0_input_1_dims[] = {1, 8, 8, 6};
   Qnn_QuantizeParams_t node_5_2_0_input_1_quantizeParams = {(Qnn_Definition_t)1, (Qnn_QuantizationEncoding_t)0, .scaleOffsetEncoding = {0.0235294122, 0}};
   Qnn_ClientBuffer_t node_5_2_0_input_1_clientBuf = {NULL, 0};
   Qnn_TensorV1_t node_5_2_0_input_1_v1 = {0, "r1.q", (Qnn_TensorType_t)3, 0, (Qnn_DataType_t)1032, node_5_2_0_input_1_quantizeParams, 4, node_5_2_0_input_1_dims, (Qnn_TensorMemType_t)0, node_5_2_0_input_1_clientBuf};
   Qnn_Tensor_t node_5_2_0_input_1 = {(Qnn_TensorVersion_t)1, .v1 = node_5_2_0_input_1_v1};

   Qnn_Tensor_t node_5_2_0_inputs[] = {node_5_2_0_input_0, node_5_2_0_input_1};
   uint32_t node_5_2_0_output_0_dims[] = {1, 8, 8, 6};
   Qnn_QuantizeParams_t node_5_2_0_output_0_quantizeParams = {(Qnn_Definition_t)1, (Qnn_QuantizationEncoding_t)0, .scaleOffsetEncoding = {0.0289888829, 0}};
   Qnn_ClientBuffer_t node_5_2_0_output_0_clientBuf = {NULL, 0};
   Qnn_TensorV1_t node_5_2_0_output_0_v1 = {0, "s.q", (Qnn_TensorType_t)3, 0, (Qnn_DataType_t)1032, node_5_2_0_output_0_quantizeParams, 4, node_5_2_0_output_0_dims, (Qnn_TensorMemType_t)0, node_5_2_0_output_0_clientBuf};
   Qnn_Tensor_t node_5_2_0_output_0 = {(Qnn_TensorVersion_t)1, .v1 = node_5_2_0_output_0_v1};

   Qnn_Tensor_t node_5_2_0_outputs[] = {node_5_2_0_output_0};
   Qnn_OpConfigV1_t node_5_2_0_v1 = {"node_5_2", "qti.aisw", "ElementWiseAdd", 0, node_5_2_0_params, 2, node_5_2_0_inputs, 1, node_5_2_0_outputs};
   Qnn_OpConfig_t node_5_2_0 = {(Qnn_OpConfigVersion_t)1, .v1 = node_5_2_0_v1};
   VALIDATE(error, interface.backendValidateOpConfig(backend_0, node_5_2_0));

   uint32_t node_6_token_14_0_param_0_tensor_dims[] = {2};
   Qnn_QuantizeParams_t node_6_token_14_0_param_0_tensor_quantizeParams = {(Qnn_Definition_t)2147483647, (Qnn_QuantizationEncoding_t)2147483647, .scaleOffsetEncoding = {0.0, 0}};
   static uint32_t node_6_token_14_0_param_0_tensor_data[2];
   fread(node_6_token_14_0_param_0_tensor_data, 4, 2, fp);
   Qnn_ClientBuffer_t node_6_token_14_0_param_0_tensor_clientBuf = {(void*)node_6_token_14_0_param_0_tensor_data, 8};
   Qnn_TensorV1_t node_6_token_14_0_param_0_tensor_v1 = {0, "node_6_token_14_42_filter_size", (Qnn_TensorType_t)4, 0, (Qnn_DataType_t)306, node_6_token_14_0_param_0_tensor_quantizeParams, 1, node_6_token_14_0_param_0_tensor_dims, (Qnn_TensorMemType_t)0, node_6_token_14_0_param_0_tensor_clientBuf};
   Qnn_Tensor_t node_6_token_14_0_param_0_tensor = {(Qnn_TensorVersion_t)1, .v1 = node_6_token_14_0_param_0_tensor_v1};
   Qnn_Param_t node_6_token_14_0_param_0 = {(Qnn_ParamType_t)1, "filter_size", .tensorParam = node_6_token_14_0_param_0_tensor};

   uint32_t node_6_token_14_0_param_1_tensor_dims[] = {2};
   Qnn_QuantizeParams_t node_6_token_14_0_param_1_tensor_quantizeParams = {(Qnn_Definition_t)2147483647, (Qnn_QuantizationEncoding_t)2147483647, .scaleOffsetEncoding = {0.0, 0}};
   static uint32_t node_6_token_14_0_param_1_tensor_data[2];
   fread(node_6_token_14_0_param_1_tensor_data, 4, 2, fp);
   Qnn_ClientBuffer_t node_6_token_14_0_param_1_tensor_clientBuf = {(void*)node_6_token_14_0_param_1_tensor_data, 8};
   Qnn_TensorV1_t node_6_token_14_0_param_1_tensor_v1 = {0, "node_6_token_14_42_stride", (Qnn_TensorType_t)4, 0, (Qnn_DataType_t)306, node_6_token_14_0_param_1_tensor_quantizeParams, 1, node_6_token_14_0_param_1_tensor_dims, (Qnn_TensorMemType_t)0, node_6_token_14_0_param_1_tensor_clientBuf};
   Qnn_Tensor_t node_6_token_14_0_param_1_tensor = {(Qnn_TensorVersion_t)1, .v1 = node_6_token_14_0_param_1_tensor_v1};
   Qnn_Param_t node_6_token_14_0_param_1 = {(Qnn_ParamType_t)1, "stride", .tensorParam = node_6_token_14_0_param_1_tensor};

   uint32_t node_6_token_14_0_param_2_tensor_dims[] = {2, 2};
   Qnn_QuantizeParams_t node_6_token_14_0_param_2_tensor_quantizeParams = {(Qnn_Definition_t)2147483647, (Qnn_QuantizationEncoding_t)2147483647, .scaleOffsetEncoding = {0.0, 0}};
   static uint32_t node_6_token_14_0_param_2_tensor_data[4];
   fread(node_6_token_14_0_param_2_tensor_data, 4, 4, fp);
   Qnn_ClientBuffer_t node_6_token_14_0_param_2_tensor_clientBuf = {(void*)node_6_token_14_0_param_2_tensor_data, 16};
   Qnn_TensorV1_t node_6_token_14_0_param_2_tensor_v1 = {0, "node_6_token_14_42_pad_amount", (Qnn_TensorType_t)4, 0, (Qnn_DataType_t)306, node_6_token_14_0_param_2_tensor_quantizeParams, 2, node_6_token_14_0_param_2_tensor_dims, (Qnn_TensorMemType_t)0, node_6_token_14_0_param_2_tensor_clientBuf};
   Qnn_Tensor_t node_6_token_14_0_param_2_tensor = {(Qnn_TensorVersion_t)1, .v1 = node_6_token_14_0_param_2_tensor_v1};
   Qnn_Param_t node_6_token_14_0_param_2 = {(Qnn_ParamType_t)1, "pad_amount", .tensorParam = node_6_token_14_0_param_2_tensor};

   Qnn_Param_t node_6_token_14_0_params[] = {node_6_token_14_0_param_0, node_6_token_14_0_param_1, node_6_token_14_0_param_2};
   uint32_t node_6_token_14_0_input_0_dims[] = {1, 8, 8, 6};
   Qnn_QuantizeParams_t node_6_token_14_0_input_0_quantizeParams = {(Qnn_Definition_t)1, (Qnn_QuantizationEncoding_t)0, .scaleOffsetEncoding = {0.0289888829, 0}};
   Qnn_ClientBuffer_t node_6_token_14_0_input_0_clientBuf = {NULL, 0};
   Qnn_TensorV1_t node_6_token_14_0_input_0_v1 = {0, "s.q", (Qnn_TensorType_t)3, 0, (Qnn_DataType_t)1032, node_6_token_14_0_input_0_quantizeParams, 4, node_6_token_14_0_input_0_dims, (Qnn_TensorMemType_t)0, node_6_token_14_0_input_0_clientBuf};
   Qnn_Tensor_t node_6_token_14_0_input_0 = {(Qnn_TensorVersion_t)1, .v1 = node_6_token_14_0_input_0_v1};

   Qnn_Tensor_t node_6_token_14_0_inputs[] = {node_6_token_14_0_input_0};
   uint32_t node_6_token_14_0_output_0_dims[] = {1, 4, 4, 6};
   Qnn_QuantizeParams_t node_6_token_14_0_output_0_quantizeParams = {(Qnn_Definition_t)1, (Qnn_QuantizationEncoding_t)0, .scaleOffsetEncoding = {0.0289888829, 0}};
   Qnn_ClientBuffer_t node_6_token_14_0_output_0_clientBuf = {NULL, 0};
   Qnn_TensorV1_t node_6_token_14_0_output_0_v1 = {0, "p.q", (Qnn_TensorType_t)3, 0, (Qnn_DataType_t)1032, node_6_token_14_0_output_0_quantizeParams, 4, node_6_token_14_0_output_0_dims, (Qnn_TensorMemType_t)0, node_6_token_14_0_output_0_clientBuf};
   Qnn_Tensor_t node_6_token_14_0_output_0 = {(Qnn_TensorVersion_t)1, .v1 = node_6_token_14_0_output_0_v1};

   Qnn_Tensor_t node_6_token_14_0_outputs[] = {node_6_token_14_0_output_0};
   Qnn_OpConfigV1_t node_6_token_14_0_v1 = {"node_6_token_14", "qti.aisw", "PoolMax2d", 3, node_6_token_14_0_params, 1, node_6_token_14_0_inputs, 1, node_6_token_14_0_outputs};
   Qnn_OpConfig_t node_6_token_14_0 = {(Qnn_OpConfigVersion_t)1, .v1 = node_6_token_14_0_v1};
   VALIDATE(error, interface.backendValidateOpConfig(backend_0, node_6_token_14_0));

   uint32_t node_7_token_20_0_param_0_tensor_dims[] = {2};
   Qnn_QuantizeParams_t node_7_token_20_0_param_0_tensor_quantizeParams = {(Qnn_Definition_t)2147483647, (Qnn_QuantizationEncoding_t)2147483647, .scaleOffsetEncoding = {0.0, 0}};
   static uint32_t node_7_token_20_0_param_0_tensor_data[2];
   fread(node_7_token_20_0_param_0_tensor_data, 4, 2, fp);
   Qnn_ClientBuffer_t node_7_token_20_0_param_0_tensor_clientBuf = {(void*)node_7_token_20_0_param_0_tensor_data, 8};
   Qnn_TensorV1_t node_7_token_20_0_param_0_tensor_v1 = {0, "node_7_token_20_47_filter_size", (Qnn_TensorType_t)4, 0, (Qnn_DataType_t)306, node_7_token_20_0_param_0_tensor_quantizeParams, 1, node_7_token_20_0_param_0_tensor_dims, (Qnn_TensorMemType_t)0, node_7_token_20_0_param_0_tensor_clientBuf};
   Qnn_Tensor_t node_7_token_20_0_param_0_tensor = {(Qnn_TensorVersion_t)1, .v1 = node_7_token_20_0_param_0_tensor_v1};
   Qnn_Param_t node_7_token_20_0_param_0 = {(Qnn_ParamType_t)1, "filter_size", .tensorParam = node_7_token_20_0_param_0_tensor};

   uint32_t node_7_token_20_0_param_1_tensor_dims[] = {2};
   Qnn_QuantizeParams_t node_7_token_20_0_param_1_tensor_quantizeParams = {(Qnn_Definition_t)2147483647, (Qnn_QuantizationEncoding_t)2147483647, .scaleOffsetEncoding = {0.0, 0}};
   static uint32_t node_7_token_20_0_param_1_tensor_data[2];
   fread(node_7_token_20_0_param_1_tensor_data, 4, 2, fp);
   Qnn_ClientBuffer_t node_7_token_20_0_param_1_tensor_clientBuf = {(void*)node_7_token_20_0_param_1_tensor_data, 8};
   Qnn_TensorV1_t node_7_token_20_0_param_1_tensor_v1 = {0, "node_7_token_20_47_stride", (Qnn_TensorType_t)4, 0, (Qnn_DataType_t)306, node_7_token_20_0_param_1_tensor_quantizeParams, 1, node_7_token_20_0_param_1_tensor_dims, (Qnn_TensorMemType_t)0, node_7_token_20_0_param_1_tensor_clientBuf};
   Qnn_Tensor_t node_7_token_20_0_param_1_tensor = {(Qnn_TensorVersion_t)1, .v1 = node_7_token_20_0_param_1_tensor_v1};
   Qnn_Param_t node_7_token_20_0_param_1 = {(Qnn_ParamType_t)1, "stride", .tensorParam = node_7_token_20_0_param_1_tensor};

   uint32_t node_7_token_20_0_param_2_tensor_dims[] = {2, 2};
   Qnn_QuantizeParams_t node_7_token_20_0_param_2_tensor_quantizeParams = {(Qnn_Definition_t)2147483647, (Qnn_QuantizationEncoding_t)2147483647, .scaleOffsetEncoding = {0.0, 0}};
   static uint32_t node_7_token_20_0_param_2_tensor_data[4];
   fread(node_7_token_20_0_param_2_tensor_data, 4, 4, fp);
   Qnn_ClientBuffer_t node_7_token_20_0_param_2_tensor_clientBuf = {(void*)node_7_token_20_0_param_2_tensor_data, 16};
   Qnn_TensorV1_t node_7_token_20_0_param_2_tensor_v1 = {0, "node_7_token_20_47_pad_amount", (Qnn_TensorType_t)4, 0, (Qnn_DataType_t)306, node_7_token_20_0_param_2_tensor_quantizeParams, 2, node_7_token_20_0_param_2_tensor_dims, (Qnn_TensorMemType_t)0, node_7_token_20_0_param_2_tensor_clientBuf};
   Qnn_Tensor_t node_7_token_20_0_param_2_tensor = {(Qnn_TensorVersion_t)1, .v1 = node_7_token_20_0_param_2_tensor_v1};
   Qnn_Param_t node_7_token_20_0_param_2 = {(Qnn_ParamType_t)1, "pad_amount", .tensorParam = node_7_token_20_0_param_2_tensor};

   Qnn_Scalar_t node_7_token_20_0_param_3_scalar = {(Qnn_DataType_t)1288, .bool8Value = 0};
   Qnn_Param_t node_7_token_20_0_param_3 = {(Qnn_ParamType_t)0, "count_pad_for_edges", .scalarParam = node_7_token_20_0_param_3_scalar};

   Qnn_Param_t node_7_token_20_0_params[] = {node_7_token_20_0_param_0, node_7_token_20_0_param_1, node_7_token_20_0_param_2, node_7_token_20_0_param_3};
   uint32_t node_7_token_20_0_input_0_dims[] = {1, 4, 4, 6};
   Qnn_QuantizeParams_t node_7_token_20_0_input_0_quantizeParams = {(Qnn_Definition_t)1, (Qnn_QuantizationEncoding_t)0, .scaleOffsetEncoding = {0.0289888829, 0}};
   Qnn_ClientBuffer_t node_7_token_20_0_input_0_clientBuf = {NULL, 0};
   Qnn_TensorV1_t node_7_token_20_0_input_0_v1 = {0, "p.q", (Qnn_TensorType_t)3, 0, (Qnn_DataType_t)1032, node_7_token_20_0_input_0_quantizeParams, 4, node_7_token_20_0_input_0_dims, (Qnn_TensorMemType_t)0, node_7_token_20_0_input_0_clientBuf};
   Qnn_Tensor_t node_7_token_20_0_input_0 = {(Qnn_TensorVersion_t)1, .v1 = node_7_token_20_0_input_0_v1};

   Qnn_Tensor_t node_7_token_20_0_inputs[] = {node_7_token_20_0_input_0};
   uint32_t node_7_token_20_0_output_0_dims[] = {1, 1, 1, 6};
   Qnn_QuantizeParams_t node_7_token_20_0_output_0_quantizeParams = {(Qnn_Definition_t)1, (Qnn_QuantizationEncoding_t)0, .scaleOffsetEncoding = {0.0145251853, 0}};
   Qnn_ClientBuffer_t node_7_token_20_0_output_0_clientBuf = {NULL, 0};
   Qnn_TensorV1_t node_7_token_20_0_output_0_v1 = {0, "g.q", (Qnn_TensorType_t)3, 0, (Qnn_DataType_t)1032, node_7_token_20_0_output_0_quantizeParams, 4, node_7_token_20_0_output_0_dims, (Qnn_TensorMemType_t)0, node_7_token_20_0_output_0_clientBuf};
   Qnn_Tensor_t node_7_token_20_0_output_0 = {(Qnn_TensorVersion_t)1, .v1 = node_7_token_20_0_output_0_v1};

   Qnn_Tensor_t node_7_token_20_0_outputs[] = {node_7_token_20_0_output_0};
   Qnn_OpConfigV1_t node_7_token_20_0_v1 = {"node_7_token_20", "qti.aisw", "PoolAvg2d", 4, node_7_token_20_0_params, 1, node_7_token_20_0_inputs, 1, node_7_token_20_0_outputs};
   Qnn_OpConfig_t node_7_token_20_0 = {(Qnn_OpConfigVersion_t)1, .v1 = node_7_token_20_0_v1};
   VALIDATE(error, interface.backendValidateOpConfig(backend_0, node_7_token_20_0));

   uint32_t Transpose_token_35_0_param_0_tensor_dims[] = {4};
   Qnn_QuantizeParams_t Transpose_token_35_0_param_0_tensor_quantizeParams = {(Qnn_Definition_t)2147483647, (Qnn_QuantizationEncoding_t)2147483647, .scaleOffsetEncoding = {0.0, 0}};
   static uint32_t Transpose_token_35_0_param_0_tensor_data[4];
   fread(Transpose_token_35_0_param_0_tensor_data, 4, 4, fp);
   Qnn_ClientBuffer_t Transpose_token_35_0_param_0_tensor_clientBuf = {(void*)Transpose_token_35_0_param_0_tensor_data, 16};
   Qnn_TensorV1_t Transpose_token_35_0_param_0_tensor_v1 = {0, "Transpose_token_35_61_perm", (Qnn_TensorType_t)4, 0, (Qnn_DataType_t)306, Transpose_token_35_0_param_0_tensor_quantizeParams, 1, Transpose_token_35_0_param_0_tensor_dims, (Qnn_TensorMemType_t)0, Transpose_token_35_0_param_0_tensor_clientBuf};
   Qnn_Tensor_t Transpose_token_35_0_param_0_tensor = {(Qnn_TensorVersion_t)1, .v1 = Transpose_token_35_0_param_0_tensor_v1};
   Qnn_Param_t Transpose_token_35_0_param_0 = {(Qnn_ParamType_t)1, "perm", .tensorParam = Transpose_token_35_0_param_0_tensor};

   Qnn_Param_t Transpose_token_35_0_params[] = {Transpose_token_35_0_param_0};
   uint32_t Transpose_token_35_0_input_0_dims[] = {1, 1, 1, 6};
   Qnn_QuantizeParams_t Transpose_token_35_0_input_0_quantizeParams = {(Qnn_Definition_t)1, (Qnn_QuantizationEncoding_t)0, .scaleOffsetEncoding = {0.0145251853, 0}};
   Qnn_ClientBuffer_t Transpose_token_35_0_input_0_clientBuf = {NULL, 0};
   Qnn_TensorV1_t Transpose_token_35_0_input_0_v1 = {0, "g.q", (Qnn_TensorType_t)3, 0, (Qnn_DataType_t)1032, Transpose_token_35_0_input_0_quantizeParams, 4, Transpose_token_35_0_input_0_dims, (Qnn_TensorMemType_t)0, Transpose_token_35_0_input_0_clientBuf};
   Qnn_Tensor_t Transpose_token_35_0_input_0 = {(Qnn_TensorVersion_t)1, .v1 = Transpose_token_35_0_input_0_v1};

   Qnn_Tensor_t Transpose_token_35_0_inputs[] = {Transpose_token_35_0_input_0};
   uint32_t Transpose_token_35_0_output_0_dims[] = {1, 6, 1, 1};
   Qnn_QuantizeParams_t Transpose_token_35_0_output_0_quantizeParams = {(Qnn_Definition_t)1, (Qnn_QuantizationEncoding_t)0, .scaleOffsetEncoding = {0.0145251853, 0}};
   Qnn_ClientBuffer_t Transpose_token_35_0_output_0_clientBuf = {NULL, 0};
   Qnn_TensorV1_t Transpose_token_35_0_output_0_v1 = {0, "QuantizeLinear_token_38_out0", (Qnn_TensorType_t)3, 0, (Qnn_DataType_t)1032, Transpose_token_35_0_output_0_quantizeParams, 4, Transpose_token_35_0_output_0_dims, (Qnn_TensorMemType_t)0, Transpose_token_35_0_output_0_clientBuf};
   Qnn_Tensor_t Transpose_token_35_0_output_0 = {(Qnn_TensorVersion_t)1, .v1 = Transpose_token_35_0_output_0_v1};

   Qnn_Tensor_t Transpose_token_35_0_outputs[] = {Transpose_token_35_0_output_0};
   Qnn_OpConfigV1_t Transpose_token_35_0_v1 = {"Transpose_token_35", "qti.aisw", "Transpose", 1, Transpose_token_35_0_params, 1, Transpose_token_35_0_inputs, 1, Transpose_token_35_0_outputs};
   Qnn_OpConfig_t Transpose_token_35_0 = {(Qnn_OpConfigVersion_t)1, .v1 = Transpose_token_35_0_v1};
   VALIDATE(error, interface.backendValidateOpConfig(backend_0, Transpose_token_35_0));

   Qnn_Param_t* node_Reshape_0_2_0_params = NULL;
   uint32_t node_Reshape_0_2_0_input_0_dims[] = {1, 6, 1, 1};
   Qnn_QuantizeParams_t node_Reshape_0_2_0_input_0_quantizeParams = {(Qnn_Definition_t)1, (Qnn_QuantizationEncoding_t)0, .scaleOffsetEncoding = {0.0145251853, 0}};
   Qnn_ClientBuffer_t node_Reshape_0_2_0_input_0_clientBuf = {NULL, 0};
   Qnn_TensorV1_t node_Reshape_0_2_0_input_0_v1 = {0, "QuantizeLinear_token_38_out0", (Qnn_TensorType_t)3, 0, (Qnn_DataType_t)1032, node_Reshape_0_2_0_input_0_quantizeParams, 4, node_Reshape_0_2_0_input_0_dims, (Qnn_TensorMemType_t)0, node_Reshape_0_2_0_input_0_clientBuf};
   Qnn_Tensor_t node_Reshape_0_2_0_input_0 = {(Qnn_TensorVersion_t)1, .v1 = node_Reshape_0_2_0_input_0_v1};

   Qnn_Tensor_t node_Reshape_0_2_0_inputs[] = {node_Reshape_0_2_0_input_0};
   uint32_t node_Reshape_0_2_0_output_0_dims[] = {1, 6};
   Qnn_QuantizeParams_t node_Reshape_0_2_0_output_0_quantizeParams = {(Qnn_Definition_t)1, (Qnn_QuantizationEncoding_t)0, .scaleOffsetEncoding = {0.0145251853, 0}};
   Qnn_ClientBuffer_t node_Reshape_0_2_0_output_0_clientBuf = {NULL, 0};
   Qnn_TensorV1_t node_Reshape_0_2_0_output_0_v1 = {0, "f.quantized", (Qnn_TensorType_t)3, 0, (Qnn_DataType_t)1032, node_Reshape_0_2_0_output_0_quantizeParams, 2, node_Reshape_0_2_0_output_0_dims, (Qnn_TensorMemType_t)0, node_Reshape_0_2_0_output_0_clientBuf};
   Qnn_Tensor_t node_Reshape_0_2_0_output_0 = {(Qnn_TensorVersion_t)1, .v1 = node_Reshape_0_2_0_output_0_v1};

   Qnn_Tensor_t node_Reshape_0_2_0_outputs[] = {node_Reshape_0_2_0_output_0};
   Qnn_OpConfigV1_t node_Reshape_0_2_0_v1 = {"node_Reshape_0_2", "qti.aisw", "Reshape", 0, node_Reshape_0_2_0_params, 1, node_Reshape_0_2_0_inputs, 1, node_Reshape_0_2_0_outputs};
   Qnn_OpConfig_t node_Reshape_0_2_0 = {(Qnn_OpConfigVersion_t)1, .v1 = node_Reshape_0_2_0_v1};
   VALIDATE(error, interface.backendValidateOpConfig(backend_0, node_Reshape_0_2_0));

   Qnn_Param_t* node_8_2_0_params = NULL;
   uint32_t node_8_2_0_input_0_dims[] = {1, 6};
   Qnn_QuantizeParams_t node_8_2_0_input_0_quantizeParams = {(Qnn_Definition_t)1, (Qnn_QuantizationEncoding_t)0, .scaleOffsetEncoding = {0.0145251853, 0}};
   Qnn_ClientBuffer_t node_8_2_0_input_0_clientBuf = {NULL, 0};
   Qnn_TensorV1_t node_8_2_0_input_0_v1 = {0, "f.quantized", (Qnn_TensorType_t)3, 0, (Qnn_DataType_t)1032, node_8_2_0_input_0_quantizeParams, 2, node_8_2_0_input_0_dims, (Qnn_TensorMemType_t)0, node_8_2_0_input_0_clientBuf};
   Qnn_Tensor_t node_8_2_0_input_0 = {(Qnn_TensorVersion_t)1, .v1 = node_8_2_0_input_0_v1};

   uint32_t node_8_2_0_input_1_dims[] = {4, 6};
   Qnn_ScaleOffset_t node_8_2_0_input_1_quantizeParams_scaleOffsets[] = {{0.00557672977, 0}, {0.00526534347, 0}, {0.010849636, 0}, {0.00923546497, 0}};
   Qnn_AxisScaleOffset_t node_8_2_0_input_1_quantizeParams_axisScaleOffset = {0, 4, node_8_2_0_input_1_quantizeParams_scaleOffsets};
   Qnn_QuantizeParams_t node_8_2_0_input_1_quantizeParams = {(Qnn_Definition_t)1, (Qnn_QuantizationEncoding_t)1, .axisScaleOffsetEncoding = node_8_2_0_input_1_quantizeParams_axisScaleOffset};
   static int8_t node_8_2_0_input_1_data[24];
   fread(node_8_2_0_input_1_data, 1, 24, fp);
   Qnn_ClientBuffer_t node_8_2_0_input_1_clientBuf = {(void*)node_8_2_0_input_1_data, 24};
   Qnn_TensorV1_t node_8_2_0_input_1_v1 = {0, "w3.integers", (Qnn_TensorType_t)4, 0, (Qnn_DataType_t)776, node_8_2_0_input_1_quantizeParams, 2, node_8_2_0_input_1_dims, (Qnn_TensorMemType_t)0, node_8_2_0_input_1_clientBuf};
   Qnn_Tensor_t node_8_2_0_input_1 = {(Qnn_TensorVersion_t)1, .v1 = node_8_2_0_input_1_v1};

   uint32_t node_8_2_0_input_2_dims[] = {4};
   Qnn_ScaleOffset_t node_8_2_0_input_2_quantizeParams_scaleOffsets[] = {{8.10030324e-05, 0}, {7.64800861e-05, 0}, {0.000157592978, 0}, {0.000134146845, 0}};
   Qnn_AxisScaleOffset_t node_8_2_0_input_2_quantizeParams_axisScaleOffset = {0, 4, node_8_2_0_input_2_quantizeParams_scaleOffsets};
   Qnn_QuantizeParams_t node_8_2_0_input_2_quantizeParams = {(Qnn_Definition_t)1, (Qnn_QuantizationEncoding_t)1, .axisScaleOffsetEncoding = node_8_2_0_input_2_quantizeParams_axisScaleOffset};
   static int32_t node_8_2_0_input_2_data[4];
   fread(node_8_2_0_input_2_data, 4, 4, fp);
   Qnn_ClientBuffer_t node_8_2_0_input_2_clientBuf = {(void*)node_8_2_0_input_2_data, 16};
   Qnn_TensorV1_t node_8_2_0_input_2_v1 = {0, "logits.bias.integers", (Qnn_TensorType_t)4, 0, (Qnn_DataType_t)818, node_8_2_0_input_2_quantizeParams, 1, node_8_2_0_input_2_dims, (Qnn_TensorMemType_t)0, node_8_2_0_input_2_clientBuf};
   Qnn_Tensor_t node_8_2_0_input_2 = {(Qnn_TensorVersion_t)1, .v1 = node_8_2_0_input_2_v1};

   Qnn_Tensor_t node_8_2_0_inputs[] = {node_8_2_0_input_0, node_8_2_0_input_1, node_8_2_0_input_2};
   uint32_t node_8_2_0_output_0_dims[] = {1, 4};
   Qnn_QuantizeParams_t node_8_2_0_output_0_quantizeParams = {(Qnn_Definition_t)2147483647, (Qnn_QuantizationEncoding_t)2147483647, .scaleOffsetEncoding = {0.0, 0}};
   Qnn_ClientBuffer_t node_8_2_0_output_0_clientBuf = {NULL, 0};
   Qnn_TensorV1_t node_8_2_0_output_0_v1 = {0, "logits", (Qnn_TensorType_t)1, 0, (Qnn_DataType_t)562, node_8_2_0_output_0_quantizeParams, 2, node_8_2_0_output_0_dims, (Qnn_TensorMemType_t)0, node_8_2_0_output_0_clientBuf};
   Qnn_Tensor_t node_8_2_0_output_0 = {(Qnn_TensorVersion_t)1, .v1 = node_8_2_0_output_0_v1};

   Qnn_Tensor_t node_8_2_0_outputs[] = {node_8_2_0_output_0};
   Qnn_OpConfigV1_t node_8_2_0_v1 = {"node_8_2", "qti.aisw", "FullyConnected", 0, node_8_2_0_params, 3, node_8_2_0_inputs, 1, node_8_2_0_outputs};
   Qnn_OpConfig_t node_8_2_0 = {(Qnn_OpConfigVersion_t)1, .v1 = node_8_2_0_v1};
   VALIDATE(error, interface.backendValidateOpConfig(backend_0, node_8_2_0));

   const QnnGraph_Config_t* context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_config_0[] = {NULL};
   Qnn_GraphHandle_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0;
   VALIDATE(error, interface.graphCreate(context_0, "QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0", context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_config_0, &context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0));

   uint32_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_tensor_0_dims[] = {1, 3, 8, 8};
   Qnn_QuantizeParams_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_tensor_0_quantizeParams = {(Qnn_Definition_t)1, (Qnn_QuantizationEncoding_t)0, .scaleOffsetEncoding = {0.0282812547, -122}};
   Qnn_ClientBuffer_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_tensor_0_clientBuf = {NULL, 0};
   Qnn_TensorV1_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_tensor_0_v1 = {0, "images", (Qnn_TensorType_t)0, 0, (Qnn_DataType_t)1032, context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_tensor_0_quantizeParams, 4, context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_tensor_0_dims, (Qnn_TensorMemType_t)0, context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_tensor_0_clientBuf};
   Qnn_Tensor_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_tensor_0 = {(Qnn_TensorVersion_t)1, .v1 = context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_tensor_0_v1};
   VALIDATE(error, interface.tensorCreateGraphTensor(context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0, &context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_tensor_0));

   uint32_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_tensor_1_dims[] = {1, 4};
   Qnn_QuantizeParams_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_tensor_1_quantizeParams = {(Qnn_Definition_t)2147483647, (Qnn_QuantizationEncoding_t)2147483647, .scaleOffsetEncoding = {0.0, 0}};
   Qnn_ClientBuffer_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_tensor_1_clientBuf = {NULL, 0};
   Qnn_TensorV1_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_tensor_1_v1 = {0, "logits", (Qnn_TensorType_t)1, 0, (Qnn_DataType_t)562, context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_tensor_1_quantizeParams, 2, context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_tensor_1_dims, (Qnn_TensorMemType_t)0, context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_tensor_1_clientBuf};
   Qnn_Tensor_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_tensor_1 = {(Qnn_TensorVersion_t)1, .v1 = context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_tensor_1_v1};
   VALIDATE(error, interface.tensorCreateGraphTensor(context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0, &context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_tensor_1));

   uint32_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_tensor_2_dims[] = {1, 8, 8, 3};
   Qnn_QuantizeParams_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_tensor_2_quantizeParams = {(Qnn_Definition_t)1, (Qnn_QuantizationEncoding_t)0, .scaleOffsetEncoding = {0.0282812547, -122}};
   Qnn_ClientBuffer_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_tensor_2_clientBuf = {NULL, 0};
   Qnn_TensorV1_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_tensor_2_v1 = {0, "QuantizeLinear_token_36_out0", (Qnn_TensorType_t)3, 0, (Qnn_DataType_t)1032, context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_tensor_2_quantizeParams, 4, context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_tensor_2_dims, (Qnn_TensorMemType_t)0, context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_tensor_2_clientBuf};
   Qnn_Tensor_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_tensor_2 = {(Qnn_TensorVersion_t)1, .v1 = context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_tensor_2_v1};
   VALIDATE(error, interface.tensorCreateGraphTensor(context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0, &context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_tensor_2));

   uint32_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_tensor_3_dims[] = {4};
   Qnn_QuantizeParams_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_tensor_3_quantizeParams = {(Qnn_Definition_t)2147483647, (Qnn_QuantizationEncoding_t)2147483647, .scaleOffsetEncoding = {0.0, 0}};
   static uint32_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_tensor_3_data[4];
   fread(context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_tensor_3_data, 4, 4, fp);
   Qnn_ClientBuffer_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_tensor_3_clientBuf = {(void*)context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_tensor_3_data, 16};
   Qnn_TensorV1_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_tensor_3_v1 = {0, "Transpose_token_23_49_perm", (Qnn_TensorType_t)4, 0, (Qnn_DataType_t)306, context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_tensor_3_quantizeParams, 1, context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_tensor_3_dims, (Qnn_TensorMemType_t)0, context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_tensor_3_clientBuf};
   Qnn_Tensor_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_tensor_3 = {(Qnn_TensorVersion_t)1, .v1 = context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_tensor_3_v1};
   VALIDATE(error, interface.tensorCreateGraphTensor(context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0, &context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_tensor_3));

   uint32_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_Transpose_token_23_0_param_0_tensor_dims[] = {4};
   Qnn_QuantizeParams_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_Transpose_token_23_0_param_0_tensor_quantizeParams = {(Qnn_Definition_t)2147483647, (Qnn_QuantizationEncoding_t)2147483647, .scaleOffsetEncoding = {0.0, 0}};
   static uint32_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_Transpose_token_23_0_param_0_tensor_data[4];
   fread(context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_Transpose_token_23_0_param_0_tensor_data, 4, 4, fp);
   Qnn_ClientBuffer_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_Transpose_token_23_0_param_0_tensor_clientBuf = {(void*)context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_Transpose_token_23_0_param_0_tensor_data, 16};
   Qnn_TensorV1_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_Transpose_token_23_0_param_0_tensor_v1 = {context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_tensor_3.v1.id, "Transpose_token_23_49_perm", (Qnn_TensorType_t)4, 0, (Qnn_DataType_t)306, context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_Transpose_token_23_0_param_0_tensor_quantizeParams, 1, context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_Transpose_token_23_0_param_0_tensor_dims, (Qnn_TensorMemType_t)0, context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_Transpose_token_23_0_param_0_tensor_clientBuf};
   Qnn_Tensor_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_Transpose_token_23_0_param_0_tensor = {(Qnn_TensorVersion_t)1, .v1 = context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_Transpose_token_23_0_param_0_tensor_v1};
   Qnn_Param_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_Transpose_token_23_0_param_0 = {(Qnn_ParamType_t)1, "perm", .tensorParam = context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_Transpose_token_23_0_param_0_tensor};

   Qnn_Param_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_Transpose_token_23_0_params[] = {context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_Transpose_token_23_0_param_0};
   uint32_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_Transpose_token_23_0_input_0_dims[] = {1, 3, 8, 8};
   Qnn_QuantizeParams_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_Transpose_token_23_0_input_0_quantizeParams = {(Qnn_Definition_t)1, (Qnn_QuantizationEncoding_t)0, .scaleOffsetEncoding = {0.0282812547, -122}};
   Qnn_ClientBuffer_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_Transpose_token_23_0_input_0_clientBuf = {NULL, 0};
   Qnn_TensorV1_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_Transpose_token_23_0_input_0_v1 = {context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_tensor_0.v1.id, "images", (Qnn_TensorType_t)0, 0, (Qnn_DataType_t)1032, context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_Transpose_token_23_0_input_0_quantizeParams, 4, context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_Transpose_token_23_0_input_0_dims, (Qnn_TensorMemType_t)0, context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_Transpose_token_23_0_input_0_clientBuf};
   Qnn_Tensor_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_Transpose_token_23_0_input_0 = {(Qnn_TensorVersion_t)1, .v1 = context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_Transpose_token_23_0_input_0_v1};

   Qnn_Tensor_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_Transpose_token_23_0_inputs[] = {context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_Transpose_token_23_0_input_0};
   uint32_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_Transpose_token_23_0_output_0_dims[] = {1, 8, 8, 3};
   Qnn_QuantizeParams_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_Transpose_token_23_0_output_0_quantizeParams = {(Qnn_Definition_t)1, (Qnn_QuantizationEncoding_t)0, .scaleOffsetEncoding = {0.0282812547, -122}};
   Qnn_ClientBuffer_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_Transpose_token_23_0_output_0_clientBuf = {NULL, 0};
   Qnn_TensorV1_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_Transpose_token_23_0_output_0_v1 = {context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_tensor_2.v1.id, "QuantizeLinear_token_36_out0", (Qnn_TensorType_t)3, 0, (Qnn_DataType_t)1032, context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_Transpose_token_23_0_output_0_quantizeParams, 4, context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_Transpose_token_23_0_output_0_dims, (Qnn_TensorMemType_t)0, context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_Transpose_token_23_0_output_0_clientBuf};
   Qnn_Tensor_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_Transpose_token_23_0_output_0 = {(Qnn_TensorVersion_t)1, .v1 = context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_Transpose_token_23_0_output_0_v1};

   Qnn_Tensor_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_Transpose_token_23_0_outputs[] = {context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_Transpose_token_23_0_output_0};
   Qnn_OpConfigV1_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_Transpose_token_23_0_v1 = {"Transpose_token_23", "qti.aisw", "Transpose", 1, context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_Transpose_token_23_0_params, 1, context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_Transpose_token_23_0_inputs, 1, context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_Transpose_token_23_0_outputs};
   Qnn_OpConfig_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_Transpose_token_23_0 = {(Qnn_OpConfigVersion_t)1, .v1 = context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_Transpose_token_23_0_v1};
   VALIDATE(error, interface.graphAddNode(context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0, context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_Transpose_token_23_0));

   uint32_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_tensor_4_dims[] = {3, 3, 3, 6};
   Qnn_ScaleOffset_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_tensor_4_quantizeParams_scaleOffsets[] = {{0.00877468847, 0}, {0.00323934271, 0}, {0.00562989293, 0}, {0.00018461961, 0}, {0.00334639288, 0}, {0.00163026329, 0}};
   Qnn_AxisScaleOffset_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_tensor_4_quantizeParams_axisScaleOffset = {3, 6, context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_tensor_4_quantizeParams_scaleOffsets};
   Qnn_QuantizeParams_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_tensor_4_quantizeParams = {(Qnn_Definition_t)1, (Qnn_QuantizationEncoding_t)1, .axisScaleOffsetEncoding = context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_tensor_4_quantizeParams_axisScaleOffset};
   static int8_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_tensor_4_data[162];
   fread(context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_tensor_4_data, 1, 162, fp);
   Qnn_ClientBuffer_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_tensor_4_clientBuf = {(void*)context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_tensor_4_data, 162};
   Qnn_TensorV1_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_tensor_4_v1 = {0, "n1.weight.integers", (Qnn_TensorType_t)4, 0, (Qnn_DataType_t)776, context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_tensor_4_quantizeParams, 4, context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_tensor_4_dims, (Qnn_TensorMemType_t)0, context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_tensor_4_clientBuf};
   Qnn_Tensor_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_tensor_4 = {(Qnn_TensorVersion_t)1, .v1 = context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_tensor_4_v1};
   VALIDATE(error, interface.tensorCreateGraphTensor(context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0, &context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_tensor_4));

   uint32_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_tensor_5_dims[] = {6};
   Qnn_ScaleOffset_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_tensor_5_quantizeParams_scaleOffsets[] = {{0.000248159195, 0}, {9.16126737e-05, 0}, {0.000159220435, 0}, {5.22127402e-06, 0}, {9.46401924e-05, 0}, {4.61058917e-05, 0}};
   Qnn_AxisScaleOffset_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_tensor_5_quantizeParams_axisScaleOffset = {0, 6, context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_tensor_5_quantizeParams_scaleOffsets};
   Qnn_QuantizeParams_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_tensor_5_quantizeParams = {(Qnn_Definition_t)1, (Qnn_QuantizationEncoding_t)1, .axisScaleOffsetEncoding = context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_tensor_5_quantizeParams_axisScaleOffset};
   static int32_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_tensor_5_data[6];
   fread(context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_tensor_5_data, 4, 6, fp);
   Qnn_ClientBuffer_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_tensor_5_clientBuf = {(void*)context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_tensor_5_data, 24};
   Qnn_TensorV1_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_tensor_5_v1 = {0, "n1.fused.bias.integers", (Qnn_TensorType_t)4, 0, (Qnn_DataType_t)818, context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_tensor_5_quantizeParams, 1, context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_tensor_5_dims, (Qnn_TensorMemType_t)0, context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_tensor_5_clientBuf};
   Qnn_Tensor_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_tensor_5 = {(Qnn_TensorVersion_t)1, .v1 = context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_tensor_5_v1};
   VALIDATE(error, interface.tensorCreateGraphTensor(context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0, &context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_tensor_5));

   uint32_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_tensor_6_dims[] = {1, 8, 8, 6};
   Qnn_QuantizeParams_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_tensor_6_quantizeParams = {(Qnn_Definition_t)1, (Qnn_QuantizationEncoding_t)0, .scaleOffsetEncoding = {0.0235294122, 0}};
   Qnn_ClientBuffer_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_tensor_6_clientBuf = {NULL, 0};
   Qnn_TensorV1_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_tensor_6_v1 = {0, "r1.q", (Qnn_TensorType_t)3, 0, (Qnn_DataType_t)1032, context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_tensor_6_quantizeParams, 4, context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_tensor_6_dims, (Qnn_TensorMemType_t)0, context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_tensor_6_clientBuf};
   Qnn_Tensor_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_tensor_6 = {(Qnn_TensorVersion_t)1, .v1 = context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_tensor_6_v1};
   VALIDATE(error, interface.tensorCreateGraphTensor(context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0, &context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_tensor_6));

   uint32_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_tensor_7_dims[] = {2};
   Qnn_QuantizeParams_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_tensor_7_quantizeParams = {(Qnn_Definition_t)2147483647, (Qnn_QuantizationEncoding_t)2147483647, .scaleOffsetEncoding = {0.0, 0}};
   static uint32_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_tensor_7_data[2];
   fread(context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_tensor_7_data, 4, 2, fp);
   Qnn_ClientBuffer_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_tensor_7_clientBuf = {(void*)context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_tensor_7_data, 8};
   Qnn_TensorV1_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_tensor_7_v1 = {0, "n1.fused_token_2_32_dilation", (Qnn_TensorType_t)4, 0, (Qnn_DataType_t)306, context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_tensor_7_quantizeParams, 1, context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_tensor_7_dims, (Qnn_TensorMemType_t)0, context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_tensor_7_clientBuf};
   Qnn_Tensor_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_tensor_7 = {(Qnn_TensorVersion_t)1, .v1 = context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_tensor_7_v1};
   VALIDATE(error, interface.tensorCreateGraphTensor(context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0, &context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_tensor_7));

   uint32_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_tensor_8_dims[] = {2};
   Qnn_QuantizeParams_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_tensor_8_quantizeParams = {(Qnn_Definition_t)2147483647, (Qnn_QuantizationEncoding_t)2147483647, .scaleOffsetEncoding = {0.0, 0}};
   static uint32_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_tensor_8_data[2];
   fread(context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_tensor_8_data, 4, 2, fp);
   Qnn_ClientBuffer_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_tensor_8_clientBuf = {(void*)context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_tensor_8_data, 8};
   Qnn_TensorV1_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_tensor_8_v1 = {0, "n1.fused_token_2_32_stride", (Qnn_TensorType_t)4, 0, (Qnn_DataType_t)306, context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_tensor_8_quantizeParams, 1, context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_tensor_8_dims, (Qnn_TensorMemType_t)0, context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_tensor_8_clientBuf};
   Qnn_Tensor_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_tensor_8 = {(Qnn_TensorVersion_t)1, .v1 = context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_tensor_8_v1};
   VALIDATE(error, interface.tensorCreateGraphTensor(context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0, &context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_tensor_8));

   uint32_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_tensor_9_dims[] = {2, 2};
   Qnn_QuantizeParams_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_tensor_9_quantizeParams = {(Qnn_Definition_t)2147483647, (Qnn_QuantizationEncoding_t)2147483647, .scaleOffsetEncoding = {0.0, 0}};
   static uint32_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_tensor_9_data[4];
   fread(context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_tensor_9_data, 4, 4, fp);
   Qnn_ClientBuffer_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_tensor_9_clientBuf = {(void*)context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_tensor_9_data, 16};
   Qnn_TensorV1_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_tensor_9_v1 = {0, "n1.fused_token_2_32_pad_amount", (Qnn_TensorType_t)4, 0, (Qnn_DataType_t)306, context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_tensor_9_quantizeParams, 2, context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_tensor_9_dims, (Qnn_TensorMemType_t)0, context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_tensor_9_clientBuf};
   Qnn_Tensor_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_tensor_9 = {(Qnn_TensorVersion_t)1, .v1 = context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_tensor_9_v1};
   VALIDATE(error, interface.tensorCreateGraphTensor(context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0, &context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_tensor_9));

   uint32_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_n1_fused_token_2_0_param_0_tensor_dims[] = {2};
   Qnn_QuantizeParams_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_n1_fused_token_2_0_param_0_tensor_quantizeParams = {(Qnn_Definition_t)2147483647, (Qnn_QuantizationEncoding_t)2147483647, .scaleOffsetEncoding = {0.0, 0}};
   static uint32_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_n1_fused_token_2_0_param_0_tensor_data[2];
   fread(context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_n1_fused_token_2_0_param_0_tensor_data, 4, 2, fp);
   Qnn_ClientBuffer_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_n1_fused_token_2_0_param_0_tensor_clientBuf = {(void*)context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_n1_fused_token_2_0_param_0_tensor_data, 8};
   Qnn_TensorV1_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_n1_fused_token_2_0_param_0_tensor_v1 = {context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_tensor_7.v1.id, "n1.fused_token_2_32_dilation", (Qnn_TensorType_t)4, 0, (Qnn_DataType_t)306, context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_n1_fused_token_2_0_param_0_tensor_quantizeParams, 1, context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_n1_fused_token_2_0_param_0_tensor_dims, (Qnn_TensorMemType_t)0, context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_n1_fused_token_2_0_param_0_tensor_clientBuf};
   Qnn_Tensor_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_n1_fused_token_2_0_param_0_tensor = {(Qnn_TensorVersion_t)1, .v1 = context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_n1_fused_token_2_0_param_0_tensor_v1};
   Qnn_Param_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_n1_fused_token_2_0_param_0 = {(Qnn_ParamType_t)1, "dilation", .tensorParam = context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_n1_fused_token_2_0_param_0_tensor};

   uint32_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_n1_fused_token_2_0_param_1_tensor_dims[] = {2};
   Qnn_QuantizeParams_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_n1_fused_token_2_0_param_1_tensor_quantizeParams = {(Qnn_Definition_t)2147483647, (Qnn_QuantizationEncoding_t)2147483647, .scaleOffsetEncoding = {0.0, 0}};
   static uint32_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_n1_fused_token_2_0_param_1_tensor_data[2];
   fread(context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_n1_fused_token_2_0_param_1_tensor_data, 4, 2, fp);
   Qnn_ClientBuffer_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_n1_fused_token_2_0_param_1_tensor_clientBuf = {(void*)context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_n1_fused_token_2_0_param_1_tensor_data, 8};
   Qnn_TensorV1_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_n1_fused_token_2_0_param_1_tensor_v1 = {context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_tensor_8.v1.id, "n1.fused_token_2_32_stride", (Qnn_TensorType_t)4, 0, (Qnn_DataType_t)306, context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_n1_fused_token_2_0_param_1_tensor_quantizeParams, 1, context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_n1_fused_token_2_0_param_1_tensor_dims, (Qnn_TensorMemType_t)0, context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_n1_fused_token_2_0_param_1_tensor_clientBuf};
   Qnn_Tensor_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_n1_fused_token_2_0_param_1_tensor = {(Qnn_TensorVersion_t)1, .v1 = context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_n1_fused_token_2_0_param_1_tensor_v1};
   Qnn_Param_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_n1_fused_token_2_0_param_1 = {(Qnn_ParamType_t)1, "stride", .tensorParam = context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_n1_fused_token_2_0_param_1_tensor};

   uint32_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_n1_fused_token_2_0_param_2_tensor_dims[] = {2, 2};
   Qnn_QuantizeParams_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_n1_fused_token_2_0_param_2_tensor_quantizeParams = {(Qnn_Definition_t)2147483647, (Qnn_QuantizationEncoding_t)2147483647, .scaleOffsetEncoding = {0.0, 0}};
   static uint32_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_n1_fused_token_2_0_param_2_tensor_data[4];
   fread(context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_n1_fused_token_2_0_param_2_tensor_data, 4, 4, fp);
   Qnn_ClientBuffer_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_n1_fused_token_2_0_param_2_tensor_clientBuf = {(void*)context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_n1_fused_token_2_0_param_2_tensor_data, 16};
   Qnn_TensorV1_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_n1_fused_token_2_0_param_2_tensor_v1 = {context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_tensor_9.v1.id, "n1.fused_token_2_32_pad_amount", (Qnn_TensorType_t)4, 0, (Qnn_DataType_t)306, context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_n1_fused_token_2_0_param_2_tensor_quantizeParams, 2, context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_n1_fused_token_2_0_param_2_tensor_dims, (Qnn_TensorMemType_t)0, context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_n1_fused_token_2_0_param_2_tensor_clientBuf};
   Qnn_Tensor_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_n1_fused_token_2_0_param_2_tensor = {(Qnn_TensorVersion_t)1, .v1 = context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_n1_fused_token_2_0_param_2_tensor_v1};
   Qnn_Param_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_n1_fused_token_2_0_param_2 = {(Qnn_ParamType_t)1, "pad_amount", .tensorParam = context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_n1_fused_token_2_0_param_2_tensor};

   Qnn_Scalar_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_n1_fused_token_2_0_param_3_scalar = {(Qnn_DataType_t)306, .uint32Value = 1};
   Qnn_Param_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_n1_fused_token_2_0_param_3 = {(Qnn_ParamType_t)0, "group", .scalarParam = context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_n1_fused_token_2_0_param_3_scalar};

   Qnn_Scalar_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_n1_fused_token_2_0_param_4_scalar = {(Qnn_DataType_t)1288, .bool8Value = 0};
   Qnn_Param_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_n1_fused_token_2_0_param_4 = {(Qnn_ParamType_t)0, "reuse_sparse_indices", .scalarParam = context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_n1_fused_token_2_0_param_4_scalar};

   Qnn_Param_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_n1_fused_token_2_0_params[] = {context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_n1_fused_token_2_0_param_0, context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_n1_fused_token_2_0_param_1, context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_n1_fused_token_2_0_param_2, context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_n1_fused_token_2_0_param_3, context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_n1_fused_token_2_0_param_4};
   uint32_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_n1_fused_token_2_0_input_0_dims[] = {1, 8, 8, 3};
   Qnn_QuantizeParams_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_n1_fused_token_2_0_input_0_quantizeParams = {(Qnn_Definition_t)1, (Qnn_QuantizationEncoding_t)0, .scaleOffsetEncoding = {0.0282812547, -122}};
   Qnn_ClientBuffer_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_n1_fused_token_2_0_input_0_clientBuf = {NULL, 0};
   Qnn_TensorV1_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_n1_fused_token_2_0_input_0_v1 = {context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_tensor_2.v1.id, "QuantizeLinear_token_36_out0", (Qnn_TensorType_t)3, 0, (Qnn_DataType_t)1032, context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_n1_fused_token_2_0_input_0_quantizeParams, 4, context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_n1_fused_token_2_0_input_0_dims, (Qnn_TensorMemType_t)0, context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_n1_fused_token_2_0_input_0_clientBuf};
   Qnn_Tensor_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_n1_fused_token_2_0_input_0 = {(Qnn_TensorVersion_t)1, .v1 = context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_n1_fused_token_2_0_input_0_v1};

   uint32_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_n1_fused_token_2_0_input_1_dims[] = {3, 3, 3, 6};
   Qnn_ScaleOffset_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_n1_fused_token_2_0_input_1_quantizeParams_scaleOffsets[] = {{0.00877468847, 0}, {0.00323934271, 0}, {0.00562989293, 0}, {0.00018461961, 0}, {0.00334639288, 0}, {0.00163026329, 0}};
   Qnn_AxisScaleOffset_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_n1_fused_token_2_0_input_1_quantizeParams_axisScaleOffset = {3, 6, context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_n1_fused_token_2_0_input_1_quantizeParams_scaleOffsets};
   Qnn_QuantizeParams_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_n1_fused_token_2_0_input_1_quantizeParams = {(Qnn_Definition_t)1, (Qnn_QuantizationEncoding_t)1, .axisScaleOffsetEncoding = context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_n1_fused_token_2_0_input_1_quantizeParams_axisScaleOffset};
   static int8_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_n1_fused_token_2_0_input_1_data[162];
   fread(context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_n1_fused_token_2_0_input_1_data, 1, 162, fp);
   Qnn_ClientBuffer_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_n1_fused_token_2_0_input_1_clientBuf = {(void*)context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_n1_fused_token_2_0_input_1_data, 162};
   Qnn_TensorV1_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_n1_fused_token_2_0_input_1_v1 = {context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_tensor_4.v1.id, "n1.weight.integers", (Qnn_TensorType_t)4, 0, (Qnn_DataType_t)776, context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_n1_fused_token_2_0_input_1_quantizeParams, 4, context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_n1_fused_token_2_0_input_1_dims, (Qnn_TensorMemType_t)0, context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_n1_fused_token_2_0_input_1_clientBuf};
   Qnn_Tensor_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_n1_fused_token_2_0_input_1 = {(Qnn_TensorVersion_t)1, .v1 = context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_n1_fused_token_2_0_input_1_v1};

   uint32_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_n1_fused_token_2_0_input_2_dims[] = {6};
   Qnn_ScaleOffset_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_n1_fused_token_2_0_input_2_quantizeParams_scaleOffsets[] = {{0.000248159195, 0}, {9.16126737e-05, 0}, {0.000159220435, 0}, {5.22127402e-06, 0}, {9.46401924e-05, 0}, {4.61058917e-05, 0}};
   Qnn_AxisScaleOffset_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_n1_fused_token_2_0_input_2_quantizeParams_axisScaleOffset = {0, 6, context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_n1_fused_token_2_0_input_2_quantizeParams_scaleOffsets};
   Qnn_QuantizeParams_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_n1_fused_token_2_0_input_2_quantizeParams = {(Qnn_Definition_t)1, (Qnn_QuantizationEncoding_t)1, .axisScaleOffsetEncoding = context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_n1_fused_token_2_0_input_2_quantizeParams_axisScaleOffset};
   static int32_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_n1_fused_token_2_0_input_2_data[6];
   fread(context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_n1_fused_token_2_0_input_2_data, 4, 6, fp);
   Qnn_ClientBuffer_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_n1_fused_token_2_0_input_2_clientBuf = {(void*)context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_n1_fused_token_2_0_input_2_data, 24};
   Qnn_TensorV1_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_n1_fused_token_2_0_input_2_v1 = {context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_tensor_5.v1.id, "n1.fused.bias.integers", (Qnn_TensorType_t)4, 0, (Qnn_DataType_t)818, context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_n1_fused_token_2_0_input_2_quantizeParams, 1, context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_n1_fused_token_2_0_input_2_dims, (Qnn_TensorMemType_t)0, context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_n1_fused_token_2_0_input_2_clientBuf};
   Qnn_Tensor_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_n1_fused_token_2_0_input_2 = {(Qnn_TensorVersion_t)1, .v1 = context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_n1_fused_token_2_0_input_2_v1};

   Qnn_Tensor_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_n1_fused_token_2_0_inputs[] = {context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_n1_fused_token_2_0_input_0, context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_n1_fused_token_2_0_input_1, context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_n1_fused_token_2_0_input_2};
   uint32_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_n1_fused_token_2_0_output_0_dims[] = {1, 8, 8, 6};
   Qnn_QuantizeParams_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_n1_fused_token_2_0_output_0_quantizeParams = {(Qnn_Definition_t)1, (Qnn_QuantizationEncoding_t)0, .scaleOffsetEncoding = {0.0235294122, 0}};
   Qnn_ClientBuffer_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_n1_fused_token_2_0_output_0_clientBuf = {NULL, 0};
   Qnn_TensorV1_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_n1_fused_token_2_0_output_0_v1 = {context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_tensor_6.v1.id, "r1.q", (Qnn_TensorType_t)3, 0, (Qnn_DataType_t)1032, context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_n1_fused_token_2_0_output_0_quantizeParams, 4, context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_n1_fused_token_2_0_output_0_dims, (Qnn_TensorMemType_t)0, context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_n1_fused_token_2_0_output_0_clientBuf};
   Qnn_Tensor_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_n1_fused_token_2_0_output_0 = {(Qnn_TensorVersion_t)1, .v1 = context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_n1_fused_token_2_0_output_0_v1};

   Qnn_Tensor_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_n1_fused_token_2_0_outputs[] = {context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_n1_fused_token_2_0_output_0};
   Qnn_OpConfigV1_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_n1_fused_token_2_0_v1 = {"n1.fused_token_2", "qti.aisw", "Conv2d", 5, context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_n1_fused_token_2_0_params, 3, context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_n1_fused_token_2_0_inputs, 1, context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_n1_fused_token_2_0_outputs};
   Qnn_OpConfig_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_n1_fused_token_2_0 = {(Qnn_OpConfigVersion_t)1, .v1 = context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_n1_fused_token_2_0_v1};
   VALIDATE(error, interface.graphAddNode(context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0, context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_n1_fused_token_2_0));

   uint32_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_tensor_10_dims[] = {3, 3, 1, 6};
   Qnn_ScaleOffset_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_tensor_10_quantizeParams_scaleOffsets[] = {{0.00646949466, 0}, {0.0063194856, 0}, {0.00909591932, 0}, {0.0120710107, 0}, {0.00696264533, 0}, {0.0122296726, 0}};
   Qnn_AxisScaleOffset_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_tensor_10_quantizeParams_axisScaleOffset = {3, 6, context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_tensor_10_quantizeParams_scaleOffsets};
   Qnn_QuantizeParams_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_tensor_10_quantizeParams = {(Qnn_Definition_t)1, (Qnn_QuantizationEncoding_t)1, .axisScaleOffsetEncoding = context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_tensor_10_quantizeParams_axisScaleOffset};
   static int8_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_tensor_10_data[54];
   fread(context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_tensor_10_data, 1, 54, fp);
   Qnn_ClientBuffer_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_tensor_10_clientBuf = {(void*)context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_tensor_10_data, 54};
   Qnn_TensorV1_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_tensor_10_v1 = {0, "w2.integers", (Qnn_TensorType_t)4, 0, (Qnn_DataType_t)776, context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_tensor_10_quantizeParams, 4, context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_tensor_10_dims, (Qnn_TensorMemType_t)0, context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_tensor_10_clientBuf};
   Qnn_Tensor_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_tensor_10 = {(Qnn_TensorVersion_t)1, .v1 = context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_tensor_10_v1};
   VALIDATE(error, interface.tensorCreateGraphTensor(context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0, &context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_tensor_10));

   uint32_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_tensor_11_dims[] = {6};
   Qnn_ScaleOffset_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_tensor_11_quantizeParams_scaleOffsets[] = {{0.000152223409, 0}, {0.000148693784, 0}, {0.000214021638, 0}, {0.000284023787, 0}, {0.000163826946, 0}, {0.000287757022, 0}};
   Qnn_AxisScaleOffset_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_tensor_11_quantizeParams_axisScaleOffset = {0, 6, context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_tensor_11_quantizeParams_scaleOffsets};
   Qnn_QuantizeParams_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_tensor_11_quantizeParams = {(Qnn_Definition_t)1, (Qnn_QuantizationEncoding_t)1, .axisScaleOffsetEncoding = context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_tensor_11_quantizeParams_axisScaleOffset};
   static int32_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_tensor_11_data[6];
   fread(context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_tensor_11_data, 4, 6, fp);
   Qnn_ClientBuffer_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_tensor_11_clientBuf = {(void*)context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_tensor_11_data, 24};
   Qnn_TensorV1_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_tensor_11_v1 = {0, "c2.bias.integers", (Qnn_TensorType_t)4, 0, (Qnn_DataType_t)818, context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_tensor_11_quantizeParams, 1, context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_tensor_11_dims, (Qnn_TensorMemType_t)0, context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_tensor_11_clientBuf};
   Qnn_Tensor_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_tensor_11 = {(Qnn_TensorVersion_t)1, .v1 = context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_tensor_11_v1};
   VALIDATE(error, interface.tensorCreateGraphTensor(context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0, &context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_tensor_11));

   uint32_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_tensor_12_dims[] = {1, 8, 8, 6};
   Qnn_QuantizeParams_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_tensor_12_quantizeParams = {(Qnn_Definition_t)1, (Qnn_QuantizationEncoding_t)0, .scaleOffsetEncoding = {0.027226856, 0}};
   Qnn_ClientBuffer_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_tensor_12_clientBuf = {NULL, 0};
   Qnn_TensorV1_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_tensor_12_v1 = {0, "r2.q", (Qnn_TensorType_t)3, 0, (Qnn_DataType_t)1032, context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_tensor_12_quantizeParams, 4, context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_tensor_12_dims, (Qnn_TensorMemType_t)0, context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_tensor_12_clientBuf};
   Qnn_Tensor_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_tensor_12 = {(Qnn_TensorVersion_t)1, .v1 = context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_tensor_12_v1};
   VALIDATE(error, interface.tensorCreateGraphTensor(context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0, &context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_tensor_12));

   uint32_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_tensor_13_dims[] = {2};
   Qnn_QuantizeParams_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_tensor_13_quantizeParams = {(Qnn_Definition_t)2147483647, (Qnn_QuantizationEncoding_t)2147483647, .scaleOffsetEncoding = {0.0, 0}};
   static uint32_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_tensor_13_data[2];
   fread(context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_tensor_13_data, 4, 2, fp);
   Qnn_ClientBuffer_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_tensor_13_clientBuf = {(void*)context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_tensor_13_data, 8};
   Qnn_TensorV1_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_tensor_13_v1 = {0, "node_3_token_8_37_dilation", (Qnn_TensorType_t)4, 0, (Qnn_DataType_t)306, context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_tensor_13_quantizeParams, 1, context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_tensor_13_dims, (Qnn_TensorMemType_t)0, context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_tensor_13_clientBuf};
   Qnn_Tensor_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_tensor_13 = {(Qnn_TensorVersion_t)1, .v1 = context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_tensor_13_v1};
   VALIDATE(error, interface.tensorCreateGraphTensor(context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0, &context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_tensor_13));

   uint32_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_tensor_14_dims[] = {2};
   Qnn_QuantizeParams_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_tensor_14_quantizeParams = {(Qnn_Definition_t)2147483647, (Qnn_QuantizationEncoding_t)2147483647, .scaleOffsetEncoding = {0.0, 0}};
   static uint32_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_tensor_14_data[2];
   fread(context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_tensor_14_data, 4, 2, fp);
   Qnn_ClientBuffer_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_tensor_14_clientBuf = {(void*)context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_tensor_14_data, 8};
   Qnn_TensorV1_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_tensor_14_v1 = {0, "node_3_token_8_37_stride", (Qnn_TensorType_t)4, 0, (Qnn_DataType_t)306, context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_tensor_14_quantizeParams, 1, context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_tensor_14_dims, (Qnn_TensorMemType_t)0, context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_tensor_14_clientBuf};
   Qnn_Tensor_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_tensor_14 = {(Qnn_TensorVersion_t)1, .v1 = context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_tensor_14_v1};
   VALIDATE(error, interface.tensorCreateGraphTensor(context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0, &context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_tensor_14));

   uint32_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_tensor_15_dims[] = {2, 2};
   Qnn_QuantizeParams_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_tensor_15_quantizeParams = {(Qnn_Definition_t)2147483647, (Qnn_QuantizationEncoding_t)2147483647, .scaleOffsetEncoding = {0.0, 0}};
   static uint32_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_tensor_15_data[4];
   fread(context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_tensor_15_data, 4, 4, fp);
   Qnn_ClientBuffer_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_tensor_15_clientBuf = {(void*)context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_tensor_15_data, 16};
   Qnn_TensorV1_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_tensor_15_v1 = {0, "node_3_token_8_37_pad_amount", (Qnn_TensorType_t)4, 0, (Qnn_DataType_t)306, context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_tensor_15_quantizeParams, 2, context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_tensor_15_dims, (Qnn_TensorMemType_t)0, context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_tensor_15_clientBuf};
   Qnn_Tensor_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_tensor_15 = {(Qnn_TensorVersion_t)1, .v1 = context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_tensor_15_v1};
   VALIDATE(error, interface.tensorCreateGraphTensor(context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0, &context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_tensor_15));

   uint32_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_node_3_token_8_0_param_0_tensor_dims[] = {2};
   Qnn_QuantizeParams_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_node_3_token_8_0_param_0_tensor_quantizeParams = {(Qnn_Definition_t)2147483647, (Qnn_QuantizationEncoding_t)2147483647, .scaleOffsetEncoding = {0.0, 0}};
   static uint32_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_node_3_token_8_0_param_0_tensor_data[2];
   fread(context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_node_3_token_8_0_param_0_tensor_data, 4, 2, fp);
   Qnn_ClientBuffer_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_node_3_token_8_0_param_0_tensor_clientBuf = {(void*)context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_node_3_token_8_0_param_0_tensor_data, 8};
   Qnn_TensorV1_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_node_3_token_8_0_param_0_tensor_v1 = {context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_tensor_13.v1.id, "node_3_token_8_37_dilation", (Qnn_TensorType_t)4, 0, (Qnn_DataType_t)306, context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_node_3_token_8_0_param_0_tensor_quantizeParams, 1, context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_node_3_token_8_0_param_0_tensor_dims, (Qnn_TensorMemType_t)0, context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_node_3_token_8_0_param_0_tensor_clientBuf};
   Qnn_Tensor_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_node_3_token_8_0_param_0_tensor = {(Qnn_TensorVersion_t)1, .v1 = context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_node_3_token_8_0_param_0_tensor_v1};
   Qnn_Param_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_node_3_token_8_0_param_0 = {(Qnn_ParamType_t)1, "dilation", .tensorParam = context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_node_3_token_8_0_param_0_tensor};

   uint32_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_node_3_token_8_0_param_1_tensor_dims[] = {2};
   Qnn_QuantizeParams_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_node_3_token_8_0_param_1_tensor_quantizeParams = {(Qnn_Definition_t)2147483647, (Qnn_QuantizationEncoding_t)2147483647, .scaleOffsetEncoding = {0.0, 0}};
   static uint32_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_node_3_token_8_0_param_1_tensor_data[2];
   fread(context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_node_3_token_8_0_param_1_tensor_data, 4, 2, fp);
   Qnn_ClientBuffer_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_node_3_token_8_0_param_1_tensor_clientBuf = {(void*)context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_node_3_token_8_0_param_1_tensor_data, 8};
   Qnn_TensorV1_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_node_3_token_8_0_param_1_tensor_v1 = {context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_tensor_14.v1.id, "node_3_token_8_37_stride", (Qnn_TensorType_t)4, 0, (Qnn_DataType_t)306, context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_node_3_token_8_0_param_1_tensor_quantizeParams, 1, context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_node_3_token_8_0_param_1_tensor_dims, (Qnn_TensorMemType_t)0, context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_node_3_token_8_0_param_1_tensor_clientBuf};
   Qnn_Tensor_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_node_3_token_8_0_param_1_tensor = {(Qnn_TensorVersion_t)1, .v1 = context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_node_3_token_8_0_param_1_tensor_v1};
   Qnn_Param_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_node_3_token_8_0_param_1 = {(Qnn_ParamType_t)1, "stride", .tensorParam = context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_node_3_token_8_0_param_1_tensor};

   uint32_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_node_3_token_8_0_param_2_tensor_dims[] = {2, 2};
   Qnn_QuantizeParams_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_node_3_token_8_0_param_2_tensor_quantizeParams = {(Qnn_Definition_t)2147483647, (Qnn_QuantizationEncoding_t)2147483647, .scaleOffsetEncoding = {0.0, 0}};
   static uint32_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_node_3_token_8_0_param_2_tensor_data[4];
   fread(context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_node_3_token_8_0_param_2_tensor_data, 4, 4, fp);
   Qnn_ClientBuffer_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_node_3_token_8_0_param_2_tensor_clientBuf = {(void*)context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_node_3_token_8_0_param_2_tensor_data, 16};
   Qnn_TensorV1_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_node_3_token_8_0_param_2_tensor_v1 = {context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_tensor_15.v1.id, "node_3_token_8_37_pad_amount", (Qnn_TensorType_t)4, 0, (Qnn_DataType_t)306, context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_node_3_token_8_0_param_2_tensor_quantizeParams, 2, context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_node_3_token_8_0_param_2_tensor_dims, (Qnn_TensorMemType_t)0, context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_node_3_token_8_0_param_2_tensor_clientBuf};
   Qnn_Tensor_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_node_3_token_8_0_param_2_tensor = {(Qnn_TensorVersion_t)1, .v1 = context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_node_3_token_8_0_param_2_tensor_v1};
   Qnn_Param_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_node_3_token_8_0_param_2 = {(Qnn_ParamType_t)1, "pad_amount", .tensorParam = context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_node_3_token_8_0_param_2_tensor};

   Qnn_Param_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_node_3_token_8_0_params[] = {context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_node_3_token_8_0_param_0, context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_node_3_token_8_0_param_1, context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_node_3_token_8_0_param_2};
   uint32_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_node_3_token_8_0_input_0_dims[] = {1, 8, 8, 6};
   Qnn_QuantizeParams_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_node_3_token_8_0_input_0_quantizeParams = {(Qnn_Definition_t)1, (Qnn_QuantizationEncoding_t)0, .scaleOffsetEncoding = {0.0235294122, 0}};
   Qnn_ClientBuffer_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_node_3_token_8_0_input_0_clientBuf = {NULL, 0};
   Qnn_TensorV1_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_node_3_token_8_0_input_0_v1 = {context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_tensor_6.v1.id, "r1.q", (Qnn_TensorType_t)3, 0, (Qnn_DataType_t)1032, context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_node_3_token_8_0_input_0_quantizeParams, 4, context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_node_3_token_8_0_input_0_dims, (Qnn_TensorMemType_t)0, context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_node_3_token_8_0_input_0_clientBuf};
   Qnn_Tensor_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_node_3_token_8_0_input_0 = {(Qnn_TensorVersion_t)1, .v1 = context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_node_3_token_8_0_input_0_v1};

   uint32_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_node_3_token_8_0_input_1_dims[] = {3, 3, 1, 6};
   Qnn_ScaleOffset_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_node_3_token_8_0_input_1_quantizeParams_scaleOffsets[] = {{0.00646949466, 0}, {0.0063194856, 0}, {0.00909591932, 0}, {0.0120710107, 0}, {0.00696264533, 0}, {0.0122296726, 0}};
   Qnn_AxisScaleOffset_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_node_3_token_8_0_input_1_quantizeParams_axisScaleOffset = {3, 6, context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_node_3_token_8_0_input_1_quantizeParams_scaleOffsets};
   Qnn_QuantizeParams_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_node_3_token_8_0_input_1_quantizeParams = {(Qnn_Definition_t)1, (Qnn_QuantizationEncoding_t)1, .axisScaleOffsetEncoding = context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_node_3_token_8_0_input_1_quantizeParams_axisScaleOffset};
   static int8_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_node_3_token_8_0_input_1_data[54];
   fread(context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_node_3_token_8_0_input_1_data, 1, 54, fp);
   Qnn_ClientBuffer_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_node_3_token_8_0_input_1_clientBuf = {(void*)context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_node_3_token_8_0_input_1_data, 54};
   Qnn_TensorV1_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_node_3_token_8_0_input_1_v1 = {context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_tensor_10.v1.id, "w2.integers", (Qnn_TensorType_t)4, 0, (Qnn_DataType_t)776, context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_node_3_token_8_0_input_1_quantizeParams, 4, context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_node_3_token_8_0_input_1_dims, (Qnn_TensorMemType_t)0, context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_node_3_token_8_0_input_1_clientBuf};
   Qnn_Tensor_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_node_3_token_8_0_input_1 = {(Qnn_TensorVersion_t)1, .v1 = context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_node_3_token_8_0_input_1_v1};

   uint32_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_node_3_token_8_0_input_2_dims[] = {6};
   Qnn_ScaleOffset_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_node_3_token_8_0_input_2_quantizeParams_scaleOffsets[] = {{0.000152223409, 0}, {0.000148693784, 0}, {0.000214021638, 0}, {0.000284023787, 0}, {0.000163826946, 0}, {0.000287757022, 0}};
   Qnn_AxisScaleOffset_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_node_3_token_8_0_input_2_quantizeParams_axisScaleOffset = {0, 6, context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_node_3_token_8_0_input_2_quantizeParams_scaleOffsets};
   Qnn_QuantizeParams_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_node_3_token_8_0_input_2_quantizeParams = {(Qnn_Definition_t)1, (Qnn_QuantizationEncoding_t)1, .axisScaleOffsetEncoding = context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_node_3_token_8_0_input_2_quantizeParams_axisScaleOffset};
   static int32_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_node_3_token_8_0_input_2_data[6];
   fread(context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_node_3_token_8_0_input_2_data, 4, 6, fp);
   Qnn_ClientBuffer_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_node_3_token_8_0_input_2_clientBuf = {(void*)context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_node_3_token_8_0_input_2_data, 24};
   Qnn_TensorV1_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_node_3_token_8_0_input_2_v1 = {context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_tensor_11.v1.id, "c2.bias.integers", (Qnn_TensorType_t)4, 0, (Qnn_DataType_t)818, context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_node_3_token_8_0_input_2_quantizeParams, 1, context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_node_3_token_8_0_input_2_dims, (Qnn_TensorMemType_t)0, context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_node_3_token_8_0_input_2_clientBuf};
   Qnn_Tensor_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_node_3_token_8_0_input_2 = {(Qnn_TensorVersion_t)1, .v1 = context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_node_3_token_8_0_input_2_v1};

   Qnn_Tensor_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_node_3_token_8_0_inputs[] = {context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_node_3_token_8_0_input_0, context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_node_3_token_8_0_input_1, context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_node_3_token_8_0_input_2};
   uint32_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_node_3_token_8_0_output_0_dims[] = {1, 8, 8, 6};
   Qnn_QuantizeParams_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_node_3_token_8_0_output_0_quantizeParams = {(Qnn_Definition_t)1, (Qnn_QuantizationEncoding_t)0, .scaleOffsetEncoding = {0.027226856, 0}};
   Qnn_ClientBuffer_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_node_3_token_8_0_output_0_clientBuf = {NULL, 0};
   Qnn_TensorV1_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_node_3_token_8_0_output_0_v1 = {context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_tensor_12.v1.id, "r2.q", (Qnn_TensorType_t)3, 0, (Qnn_DataType_t)1032, context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_node_3_token_8_0_output_0_quantizeParams, 4, context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_node_3_token_8_0_output_0_dims, (Qnn_TensorMemType_t)0, context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_node_3_token_8_0_output_0_clientBuf};
   Qnn_Tensor_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_node_3_token_8_0_output_0 = {(Qnn_TensorVersion_t)1, .v1 = context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_node_3_token_8_0_output_0_v1};

   Qnn_Tensor_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_node_3_token_8_0_outputs[] = {context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_node_3_token_8_0_output_0};
   Qnn_OpConfigV1_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_node_3_token_8_0_v1 = {"node_3_token_8", "qti.aisw", "DepthWiseConv2d", 3, context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_node_3_token_8_0_params, 3, context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_node_3_token_8_0_inputs, 1, context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_node_3_token_8_0_outputs};
   Qnn_OpConfig_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_node_3_token_8_0 = {(Qnn_OpConfigVersion_t)1, .v1 = context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_node_3_token_8_0_v1};
   VALIDATE(error, interface.graphAddNode(context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0, context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_node_3_token_8_0));

   uint32_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_tensor_16_dims[] = {1, 8, 8, 6};
   Qnn_QuantizeParams_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_tensor_16_quantizeParams = {(Qnn_Definition_t)1, (Qnn_QuantizationEncoding_t)0, .scaleOffsetEncoding = {0.0289888829, 0}};
   Qnn_ClientBuffer_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_tensor_16_clientBuf = {NULL, 0};
   Qnn_TensorV1_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_tensor_16_v1 = {0, "s.q", (Qnn_TensorType_t)3, 0, (Qnn_DataType_t)1032, context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_tensor_16_quantizeParams, 4, context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_tensor_16_dims, (Qnn_TensorMemType_t)0, context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_tensor_16_clientBuf};
   Qnn_Tensor_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_tensor_16 = {(Qnn_TensorVersion_t)1, .v1 = context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_tensor_16_v1};
   VALIDATE(error, interface.tensorCreateGraphTensor(context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0, &context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_tensor_16));

   Qnn_Param_t* context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_node_5_0_params = NULL;
   uint32_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_node_5_0_input_0_dims[] = {1, 8, 8, 6};
   Qnn_QuantizeParams_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_node_5_0_input_0_quantizeParams = {(Qnn_Definition_t)1, (Qnn_QuantizationEncoding_t)0, .scaleOffsetEncoding = {0.027226856, 0}};
   Qnn_ClientBuffer_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_node_5_0_input_0_clientBuf = {NULL, 0};
   Qnn_TensorV1_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_node_5_0_input_0_v1 = {context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_tensor_12.v1.id, "r2.q", (Qnn_TensorType_t)3, 0, (Qnn_DataType_t)1032, context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_node_5_0_input_0_quantizeParams, 4, context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_node_5_0_input_0_dims, (Qnn_TensorMemType_t)0, context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_node_5_0_input_0_clientBuf};
   Qnn_Tensor_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_node_5_0_input_0 = {(Qnn_TensorVersion_t)1, .v1 = context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_node_5_0_input_0_v1};

   uint32_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_node_5_0_input_1_dims[] = {1, 8, 8, 6};
   Qnn_QuantizeParams_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_node_5_0_input_1_quantizeParams = {(Qnn_Definition_t)1, (Qnn_QuantizationEncoding_t)0, .scaleOffsetEncoding = {0.0235294122, 0}};
   Qnn_ClientBuffer_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_node_5_0_input_1_clientBuf = {NULL, 0};
   Qnn_TensorV1_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_node_5_0_input_1_v1 = {context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_tensor_6.v1.id, "r1.q", (Qnn_TensorType_t)3, 0, (Qnn_DataType_t)1032, context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_node_5_0_input_1_quantizeParams, 4, context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_node_5_0_input_1_dims, (Qnn_TensorMemType_t)0, context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_node_5_0_input_1_clientBuf};
   Qnn_Tensor_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_node_5_0_input_1 = {(Qnn_TensorVersion_t)1, .v1 = context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_node_5_0_input_1_v1};

   Qnn_Tensor_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_node_5_0_inputs[] = {context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_node_5_0_input_0, context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_node_5_0_input_1};
   uint32_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_node_5_0_output_0_dims[] = {1, 8, 8, 6};
   Qnn_QuantizeParams_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_node_5_0_output_0_quantizeParams = {(Qnn_Definition_t)1, (Qnn_QuantizationEncoding_t)0, .scaleOffsetEncoding = {0.0289888829, 0}};
   Qnn_ClientBuffer_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_node_5_0_output_0_clientBuf = {NULL, 0};
   Qnn_TensorV1_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_node_5_0_output_0_v1 = {context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_tensor_16.v1.id, "s.q", (Qnn_TensorType_t)3, 0, (Qnn_DataType_t)1032, context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_node_5_0_output_0_quantizeParams, 4, context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_node_5_0_output_0_dims, (Qnn_TensorMemType_t)0, context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_node_5_0_output_0_clientBuf};
   Qnn_Tensor_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_node_5_0_output_0 = {(Qnn_TensorVersion_t)1, .v1 = context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_node_5_0_output_0_v1};

   Qnn_Tensor_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_node_5_0_outputs[] = {context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_node_5_0_output_0};
   Qnn_OpConfigV1_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_node_5_0_v1 = {"node_5", "qti.aisw", "ElementWiseAdd", 0, context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_node_5_0_params, 2, context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_node_5_0_inputs, 1, context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_node_5_0_outputs};
   Qnn_OpConfig_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_node_5_0 = {(Qnn_OpConfigVersion_t)1, .v1 = context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_node_5_0_v1};
   VALIDATE(error, interface.graphAddNode(context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0, context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_node_5_0));

   uint32_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_tensor_17_dims[] = {1, 4, 4, 6};
   Qnn_QuantizeParams_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_tensor_17_quantizeParams = {(Qnn_Definition_t)1, (Qnn_QuantizationEncoding_t)0, .scaleOffsetEncoding = {0.0289888829, 0}};
   Qnn_ClientBuffer_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_tensor_17_clientBuf = {NULL, 0};
   Qnn_TensorV1_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_tensor_17_v1 = {0, "p.q", (Qnn_TensorType_t)3, 0, (Qnn_DataType_t)1032, context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_tensor_17_quantizeParams, 4, context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_tensor_17_dims, (Qnn_TensorMemType_t)0, context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_tensor_17_clientBuf};
   Qnn_Tensor_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_tensor_17 = {(Qnn_TensorVersion_t)1, .v1 = context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_tensor_17_v1};
   VALIDATE(error, interface.tensorCreateGraphTensor(context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0, &context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_tensor_17));

   uint32_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_tensor_18_dims[] = {2};
   Qnn_QuantizeParams_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_tensor_18_quantizeParams = {(Qnn_Definition_t)2147483647, (Qnn_QuantizationEncoding_t)2147483647, .scaleOffsetEncoding = {0.0, 0}};
   static uint32_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_tensor_18_data[2];
   fread(context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_tensor_18_data, 4, 2, fp);
   Qnn_ClientBuffer_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_tensor_18_clientBuf = {(void*)context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_tensor_18_data, 8};
   Qnn_TensorV1_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_tensor_18_v1 = {0, "node_6_token_14_42_filter_size", (Qnn_TensorType_t)4, 0, (Qnn_DataType_t)306, context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_tensor_18_quantizeParams, 1, context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_tensor_18_dims, (Qnn_TensorMemType_t)0, context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_tensor_18_clientBuf};
   Qnn_Tensor_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_tensor_18 = {(Qnn_TensorVersion_t)1, .v1 = context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_tensor_18_v1};
   VALIDATE(error, interface.tensorCreateGraphTensor(context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0, &context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_tensor_18));

   uint32_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_tensor_19_dims[] = {2};
   Qnn_QuantizeParams_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_tensor_19_quantizeParams = {(Qnn_Definition_t)2147483647, (Qnn_QuantizationEncoding_t)2147483647, .scaleOffsetEncoding = {0.0, 0}};
   static uint32_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_tensor_19_data[2];
   fread(context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_tensor_19_data, 4, 2, fp);
   Qnn_ClientBuffer_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_tensor_19_clientBuf = {(void*)context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_tensor_19_data, 8};
   Qnn_TensorV1_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_tensor_19_v1 = {0, "node_6_token_14_42_stride", (Qnn_TensorType_t)4, 0, (Qnn_DataType_t)306, context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_tensor_19_quantizeParams, 1, context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_tensor_19_dims, (Qnn_TensorMemType_t)0, context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_tensor_19_clientBuf};
   Qnn_Tensor_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_tensor_19 = {(Qnn_TensorVersion_t)1, .v1 = context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_tensor_19_v1};
   VALIDATE(error, interface.tensorCreateGraphTensor(context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0, &context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_tensor_19));

   uint32_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_tensor_20_dims[] = {2, 2};
   Qnn_QuantizeParams_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_tensor_20_quantizeParams = {(Qnn_Definition_t)2147483647, (Qnn_QuantizationEncoding_t)2147483647, .scaleOffsetEncoding = {0.0, 0}};
   static uint32_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_tensor_20_data[4];
   fread(context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_tensor_20_data, 4, 4, fp);
   Qnn_ClientBuffer_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_tensor_20_clientBuf = {(void*)context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_tensor_20_data, 16};
   Qnn_TensorV1_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_tensor_20_v1 = {0, "node_6_token_14_42_pad_amount", (Qnn_TensorType_t)4, 0, (Qnn_DataType_t)306, context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_tensor_20_quantizeParams, 2, context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_tensor_20_dims, (Qnn_TensorMemType_t)0, context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_tensor_20_clientBuf};
   Qnn_Tensor_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_tensor_20 = {(Qnn_TensorVersion_t)1, .v1 = context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_tensor_20_v1};
   VALIDATE(error, interface.tensorCreateGraphTensor(context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0, &context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_tensor_20));

   uint32_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_node_6_token_14_0_param_0_tensor_dims[] = {2};
   Qnn_QuantizeParams_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_node_6_token_14_0_param_0_tensor_quantizeParams = {(Qnn_Definition_t)2147483647, (Qnn_QuantizationEncoding_t)2147483647, .scaleOffsetEncoding = {0.0, 0}};
   static uint32_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_node_6_token_14_0_param_0_tensor_data[2];
   fread(context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_node_6_token_14_0_param_0_tensor_data, 4, 2, fp);
   Qnn_ClientBuffer_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_node_6_token_14_0_param_0_tensor_clientBuf = {(void*)context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_node_6_token_14_0_param_0_tensor_data, 8};
   Qnn_TensorV1_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_node_6_token_14_0_param_0_tensor_v1 = {context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_tensor_18.v1.id, "node_6_token_14_42_filter_size", (Qnn_TensorType_t)4, 0, (Qnn_DataType_t)306, context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_node_6_token_14_0_param_0_tensor_quantizeParams, 1, context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_node_6_token_14_0_param_0_tensor_dims, (Qnn_TensorMemType_t)0, context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_node_6_token_14_0_param_0_tensor_clientBuf};
   Qnn_Tensor_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_node_6_token_14_0_param_0_tensor = {(Qnn_TensorVersion_t)1, .v1 = context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_node_6_token_14_0_param_0_tensor_v1};
   Qnn_Param_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_node_6_token_14_0_param_0 = {(Qnn_ParamType_t)1, "filter_size", .tensorParam = context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_node_6_token_14_0_param_0_tensor};

   uint32_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_node_6_token_14_0_param_1_tensor_dims[] = {2};
   Qnn_QuantizeParams_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_node_6_token_14_0_param_1_tensor_quantizeParams = {(Qnn_Definition_t)2147483647, (Qnn_QuantizationEncoding_t)2147483647, .scaleOffsetEncoding = {0.0, 0}};
   static uint32_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_node_6_token_14_0_param_1_tensor_data[2];
   fread(context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_node_6_token_14_0_param_1_tensor_data, 4, 2, fp);
   Qnn_ClientBuffer_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_node_6_token_14_0_param_1_tensor_clientBuf = {(void*)context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_node_6_token_14_0_param_1_tensor_data, 8};
   Qnn_TensorV1_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_node_6_token_14_0_param_1_tensor_v1 = {context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_tensor_19.v1.id, "node_6_token_14_42_stride", (Qnn_TensorType_t)4, 0, (Qnn_DataType_t)306, context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_node_6_token_14_0_param_1_tensor_quantizeParams, 1, context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_node_6_token_14_0_param_1_tensor_dims, (Qnn_TensorMemType_t)0, context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_node_6_token_14_0_param_1_tensor_clientBuf};
   Qnn_Tensor_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_node_6_token_14_0_param_1_tensor = {(Qnn_TensorVersion_t)1, .v1 = context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_node_6_token_14_0_param_1_tensor_v1};
   Qnn_Param_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_node_6_token_14_0_param_1 = {(Qnn_ParamType_t)1, "stride", .tensorParam = context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_node_6_token_14_0_param_1_tensor};

   uint32_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_node_6_token_14_0_param_2_tensor_dims[] = {2, 2};
   Qnn_QuantizeParams_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_node_6_token_14_0_param_2_tensor_quantizeParams = {(Qnn_Definition_t)2147483647, (Qnn_QuantizationEncoding_t)2147483647, .scaleOffsetEncoding = {0.0, 0}};
   static uint32_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_node_6_token_14_0_param_2_tensor_data[4];
   fread(context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_node_6_token_14_0_param_2_tensor_data, 4, 4, fp);
   Qnn_ClientBuffer_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_node_6_token_14_0_param_2_tensor_clientBuf = {(void*)context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_node_6_token_14_0_param_2_tensor_data, 16};
   Qnn_TensorV1_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_node_6_token_14_0_param_2_tensor_v1 = {context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_tensor_20.v1.id, "node_6_token_14_42_pad_amount", (Qnn_TensorType_t)4, 0, (Qnn_DataType_t)306, context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_node_6_token_14_0_param_2_tensor_quantizeParams, 2, context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_node_6_token_14_0_param_2_tensor_dims, (Qnn_TensorMemType_t)0, context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_node_6_token_14_0_param_2_tensor_clientBuf};
   Qnn_Tensor_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_node_6_token_14_0_param_2_tensor = {(Qnn_TensorVersion_t)1, .v1 = context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_node_6_token_14_0_param_2_tensor_v1};
   Qnn_Param_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_node_6_token_14_0_param_2 = {(Qnn_ParamType_t)1, "pad_amount", .tensorParam = context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_node_6_token_14_0_param_2_tensor};

   Qnn_Param_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_node_6_token_14_0_params[] = {context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_node_6_token_14_0_param_0, context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_node_6_token_14_0_param_1, context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_node_6_token_14_0_param_2};
   uint32_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_node_6_token_14_0_input_0_dims[] = {1, 8, 8, 6};
   Qnn_QuantizeParams_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_node_6_token_14_0_input_0_quantizeParams = {(Qnn_Definition_t)1, (Qnn_QuantizationEncoding_t)0, .scaleOffsetEncoding = {0.0289888829, 0}};
   Qnn_ClientBuffer_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_node_6_token_14_0_input_0_clientBuf = {NULL, 0};
   Qnn_TensorV1_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_node_6_token_14_0_input_0_v1 = {context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_tensor_16.v1.id, "s.q", (Qnn_TensorType_t)3, 0, (Qnn_DataType_t)1032, context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_node_6_token_14_0_input_0_quantizeParams, 4, context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_node_6_token_14_0_input_0_dims, (Qnn_TensorMemType_t)0, context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_node_6_token_14_0_input_0_clientBuf};
   Qnn_Tensor_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_node_6_token_14_0_input_0 = {(Qnn_TensorVersion_t)1, .v1 = context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_node_6_token_14_0_input_0_v1};

   Qnn_Tensor_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_node_6_token_14_0_inputs[] = {context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_node_6_token_14_0_input_0};
   uint32_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_node_6_token_14_0_output_0_dims[] = {1, 4, 4, 6};
   Qnn_QuantizeParams_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_node_6_token_14_0_output_0_quantizeParams = {(Qnn_Definition_t)1, (Qnn_QuantizationEncoding_t)0, .scaleOffsetEncoding = {0.0289888829, 0}};
   Qnn_ClientBuffer_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_node_6_token_14_0_output_0_clientBuf = {NULL, 0};
   Qnn_TensorV1_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_node_6_token_14_0_output_0_v1 = {context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_tensor_17.v1.id, "p.q", (Qnn_TensorType_t)3, 0, (Qnn_DataType_t)1032, context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_node_6_token_14_0_output_0_quantizeParams, 4, context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_node_6_token_14_0_output_0_dims, (Qnn_TensorMemType_t)0, context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_node_6_token_14_0_output_0_clientBuf};
   Qnn_Tensor_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_node_6_token_14_0_output_0 = {(Qnn_TensorVersion_t)1, .v1 = context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_node_6_token_14_0_output_0_v1};

   Qnn_Tensor_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_node_6_token_14_0_outputs[] = {context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_node_6_token_14_0_output_0};
   Qnn_OpConfigV1_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_node_6_token_14_0_v1 = {"node_6_token_14", "qti.aisw", "PoolMax2d", 3, context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_node_6_token_14_0_params, 1, context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_node_6_token_14_0_inputs, 1, context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_node_6_token_14_0_outputs};
   Qnn_OpConfig_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_node_6_token_14_0 = {(Qnn_OpConfigVersion_t)1, .v1 = context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_node_6_token_14_0_v1};
   VALIDATE(error, interface.graphAddNode(context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0, context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_node_6_token_14_0));

   uint32_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_tensor_21_dims[] = {1, 1, 1, 6};
   Qnn_QuantizeParams_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_tensor_21_quantizeParams = {(Qnn_Definition_t)1, (Qnn_QuantizationEncoding_t)0, .scaleOffsetEncoding = {0.0145251853, 0}};
   Qnn_ClientBuffer_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_tensor_21_clientBuf = {NULL, 0};
   Qnn_TensorV1_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_tensor_21_v1 = {0, "g.q", (Qnn_TensorType_t)3, 0, (Qnn_DataType_t)1032, context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_tensor_21_quantizeParams, 4, context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_tensor_21_dims, (Qnn_TensorMemType_t)0, context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_tensor_21_clientBuf};
   Qnn_Tensor_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_tensor_21 = {(Qnn_TensorVersion_t)1, .v1 = context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_tensor_21_v1};
   VALIDATE(error, interface.tensorCreateGraphTensor(context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0, &context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_tensor_21));

   uint32_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_tensor_22_dims[] = {2};
   Qnn_QuantizeParams_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_tensor_22_quantizeParams = {(Qnn_Definition_t)2147483647, (Qnn_QuantizationEncoding_t)2147483647, .scaleOffsetEncoding = {0.0, 0}};
   static uint32_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_tensor_22_data[2];
   fread(context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_tensor_22_data, 4, 2, fp);
   Qnn_ClientBuffer_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_tensor_22_clientBuf = {(void*)context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_tensor_22_data, 8};
   Qnn_TensorV1_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_tensor_22_v1 = {0, "node_7_token_20_47_filter_size", (Qnn_TensorType_t)4, 0, (Qnn_DataType_t)306, context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_tensor_22_quantizeParams, 1, context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_tensor_22_dims, (Qnn_TensorMemType_t)0, context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_tensor_22_clientBuf};
   Qnn_Tensor_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_tensor_22 = {(Qnn_TensorVersion_t)1, .v1 = context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_tensor_22_v1};
   VALIDATE(error, interface.tensorCreateGraphTensor(context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0, &context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_tensor_22));

   uint32_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_tensor_23_dims[] = {2};
   Qnn_QuantizeParams_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_tensor_23_quantizeParams = {(Qnn_Definition_t)2147483647, (Qnn_QuantizationEncoding_t)2147483647, .scaleOffsetEncoding = {0.0, 0}};
   static uint32_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_tensor_23_data[2];
   fread(context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_tensor_23_data, 4, 2, fp);
   Qnn_ClientBuffer_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_tensor_23_clientBuf = {(void*)context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_tensor_23_data, 8};
   Qnn_TensorV1_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_tensor_23_v1 = {0, "node_7_token_20_47_stride", (Qnn_TensorType_t)4, 0, (Qnn_DataType_t)306, context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_tensor_23_quantizeParams, 1, context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_tensor_23_dims, (Qnn_TensorMemType_t)0, context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_tensor_23_clientBuf};
   Qnn_Tensor_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_tensor_23 = {(Qnn_TensorVersion_t)1, .v1 = context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_tensor_23_v1};
   VALIDATE(error, interface.tensorCreateGraphTensor(context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0, &context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_tensor_23));

   uint32_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_tensor_24_dims[] = {2, 2};
   Qnn_QuantizeParams_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_tensor_24_quantizeParams = {(Qnn_Definition_t)2147483647, (Qnn_QuantizationEncoding_t)2147483647, .scaleOffsetEncoding = {0.0, 0}};
   static uint32_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_tensor_24_data[4];
   fread(context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_tensor_24_data, 4, 4, fp);
   Qnn_ClientBuffer_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_tensor_24_clientBuf = {(void*)context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_tensor_24_data, 16};
   Qnn_TensorV1_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_tensor_24_v1 = {0, "node_7_token_20_47_pad_amount", (Qnn_TensorType_t)4, 0, (Qnn_DataType_t)306, context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_tensor_24_quantizeParams, 2, context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_tensor_24_dims, (Qnn_TensorMemType_t)0, context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_tensor_24_clientBuf};
   Qnn_Tensor_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_tensor_24 = {(Qnn_TensorVersion_t)1, .v1 = context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_tensor_24_v1};
   VALIDATE(error, interface.tensorCreateGraphTensor(context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0, &context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_tensor_24));

   uint32_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_node_7_token_20_0_param_0_tensor_dims[] = {2};
   Qnn_QuantizeParams_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_node_7_token_20_0_param_0_tensor_quantizeParams = {(Qnn_Definition_t)2147483647, (Qnn_QuantizationEncoding_t)2147483647, .scaleOffsetEncoding = {0.0, 0}};
   static uint32_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_node_7_token_20_0_param_0_tensor_data[2];
   fread(context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_node_7_token_20_0_param_0_tensor_data, 4, 2, fp);
   Qnn_ClientBuffer_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_node_7_token_20_0_param_0_tensor_clientBuf = {(void*)context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_node_7_token_20_0_param_0_tensor_data, 8};
   Qnn_TensorV1_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_node_7_token_20_0_param_0_tensor_v1 = {context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_tensor_22.v1.id, "node_7_token_20_47_filter_size", (Qnn_TensorType_t)4, 0, (Qnn_DataType_t)306, context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_node_7_token_20_0_param_0_tensor_quantizeParams, 1, context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_node_7_token_20_0_param_0_tensor_dims, (Qnn_TensorMemType_t)0, context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_node_7_token_20_0_param_0_tensor_clientBuf};
   Qnn_Tensor_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_node_7_token_20_0_param_0_tensor = {(Qnn_TensorVersion_t)1, .v1 = context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_node_7_token_20_0_param_0_tensor_v1};
   Qnn_Param_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_node_7_token_20_0_param_0 = {(Qnn_ParamType_t)1, "filter_size", .tensorParam = context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_node_7_token_20_0_param_0_tensor};

   uint32_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_node_7_token_20_0_param_1_tensor_dims[] = {2};
   Qnn_QuantizeParams_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_node_7_token_20_0_param_1_tensor_quantizeParams = {(Qnn_Definition_t)2147483647, (Qnn_QuantizationEncoding_t)2147483647, .scaleOffsetEncoding = {0.0, 0}};
   static uint32_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_node_7_token_20_0_param_1_tensor_data[2];
   fread(context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_node_7_token_20_0_param_1_tensor_data, 4, 2, fp);
   Qnn_ClientBuffer_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_node_7_token_20_0_param_1_tensor_clientBuf = {(void*)context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_node_7_token_20_0_param_1_tensor_data, 8};
   Qnn_TensorV1_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_node_7_token_20_0_param_1_tensor_v1 = {context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_tensor_23.v1.id, "node_7_token_20_47_stride", (Qnn_TensorType_t)4, 0, (Qnn_DataType_t)306, context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_node_7_token_20_0_param_1_tensor_quantizeParams, 1, context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_node_7_token_20_0_param_1_tensor_dims, (Qnn_TensorMemType_t)0, context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_node_7_token_20_0_param_1_tensor_clientBuf};
   Qnn_Tensor_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_node_7_token_20_0_param_1_tensor = {(Qnn_TensorVersion_t)1, .v1 = context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_node_7_token_20_0_param_1_tensor_v1};
   Qnn_Param_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_node_7_token_20_0_param_1 = {(Qnn_ParamType_t)1, "stride", .tensorParam = context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_node_7_token_20_0_param_1_tensor};

   uint32_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_node_7_token_20_0_param_2_tensor_dims[] = {2, 2};
   Qnn_QuantizeParams_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_node_7_token_20_0_param_2_tensor_quantizeParams = {(Qnn_Definition_t)2147483647, (Qnn_QuantizationEncoding_t)2147483647, .scaleOffsetEncoding = {0.0, 0}};
   static uint32_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_node_7_token_20_0_param_2_tensor_data[4];
   fread(context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_node_7_token_20_0_param_2_tensor_data, 4, 4, fp);
   Qnn_ClientBuffer_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_node_7_token_20_0_param_2_tensor_clientBuf = {(void*)context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_node_7_token_20_0_param_2_tensor_data, 16};
   Qnn_TensorV1_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_node_7_token_20_0_param_2_tensor_v1 = {context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_tensor_24.v1.id, "node_7_token_20_47_pad_amount", (Qnn_TensorType_t)4, 0, (Qnn_DataType_t)306, context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_node_7_token_20_0_param_2_tensor_quantizeParams, 2, context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_node_7_token_20_0_param_2_tensor_dims, (Qnn_TensorMemType_t)0, context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_node_7_token_20_0_param_2_tensor_clientBuf};
   Qnn_Tensor_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_node_7_token_20_0_param_2_tensor = {(Qnn_TensorVersion_t)1, .v1 = context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_node_7_token_20_0_param_2_tensor_v1};
   Qnn_Param_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_node_7_token_20_0_param_2 = {(Qnn_ParamType_t)1, "pad_amount", .tensorParam = context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_node_7_token_20_0_param_2_tensor};

   Qnn_Scalar_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_node_7_token_20_0_param_3_scalar = {(Qnn_DataType_t)1288, .bool8Value = 0};
   Qnn_Param_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_node_7_token_20_0_param_3 = {(Qnn_ParamType_t)0, "count_pad_for_edges", .scalarParam = context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_node_7_token_20_0_param_3_scalar};

   Qnn_Param_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_node_7_token_20_0_params[] = {context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_node_7_token_20_0_param_0, context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_node_7_token_20_0_param_1, context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_node_7_token_20_0_param_2, context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_node_7_token_20_0_param_3};
   uint32_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_node_7_token_20_0_input_0_dims[] = {1, 4, 4, 6};
   Qnn_QuantizeParams_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_node_7_token_20_0_input_0_quantizeParams = {(Qnn_Definition_t)1, (Qnn_QuantizationEncoding_t)0, .scaleOffsetEncoding = {0.0289888829, 0}};
   Qnn_ClientBuffer_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_node_7_token_20_0_input_0_clientBuf = {NULL, 0};
   Qnn_TensorV1_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_node_7_token_20_0_input_0_v1 = {context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_tensor_17.v1.id, "p.q", (Qnn_TensorType_t)3, 0, (Qnn_DataType_t)1032, context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_node_7_token_20_0_input_0_quantizeParams, 4, context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_node_7_token_20_0_input_0_dims, (Qnn_TensorMemType_t)0, context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_node_7_token_20_0_input_0_clientBuf};
   Qnn_Tensor_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_node_7_token_20_0_input_0 = {(Qnn_TensorVersion_t)1, .v1 = context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_node_7_token_20_0_input_0_v1};

   Qnn_Tensor_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_node_7_token_20_0_inputs[] = {context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_node_7_token_20_0_input_0};
   uint32_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_node_7_token_20_0_output_0_dims[] = {1, 1, 1, 6};
   Qnn_QuantizeParams_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_node_7_token_20_0_output_0_quantizeParams = {(Qnn_Definition_t)1, (Qnn_QuantizationEncoding_t)0, .scaleOffsetEncoding = {0.0145251853, 0}};
   Qnn_ClientBuffer_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_node_7_token_20_0_output_0_clientBuf = {NULL, 0};
   Qnn_TensorV1_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_node_7_token_20_0_output_0_v1 = {context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_tensor_21.v1.id, "g.q", (Qnn_TensorType_t)3, 0, (Qnn_DataType_t)1032, context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_node_7_token_20_0_output_0_quantizeParams, 4, context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_node_7_token_20_0_output_0_dims, (Qnn_TensorMemType_t)0, context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_node_7_token_20_0_output_0_clientBuf};
   Qnn_Tensor_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_node_7_token_20_0_output_0 = {(Qnn_TensorVersion_t)1, .v1 = context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_node_7_token_20_0_output_0_v1};

   Qnn_Tensor_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_node_7_token_20_0_outputs[] = {context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_node_7_token_20_0_output_0};
   Qnn_OpConfigV1_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_node_7_token_20_0_v1 = {"node_7_token_20", "qti.aisw", "PoolAvg2d", 4, context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_node_7_token_20_0_params, 1, context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_node_7_token_20_0_inputs, 1, context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_node_7_token_20_0_outputs};
   Qnn_OpConfig_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_node_7_token_20_0 = {(Qnn_OpConfigVersion_t)1, .v1 = context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_node_7_token_20_0_v1};
   VALIDATE(error, interface.graphAddNode(context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0, context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_node_7_token_20_0));

   uint32_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_tensor_25_dims[] = {1, 6, 1, 1};
   Qnn_QuantizeParams_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_tensor_25_quantizeParams = {(Qnn_Definition_t)1, (Qnn_QuantizationEncoding_t)0, .scaleOffsetEncoding = {0.0145251853, 0}};
   Qnn_ClientBuffer_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_tensor_25_clientBuf = {NULL, 0};
   Qnn_TensorV1_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_tensor_25_v1 = {0, "QuantizeLinear_token_38_out0", (Qnn_TensorType_t)3, 0, (Qnn_DataType_t)1032, context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_tensor_25_quantizeParams, 4, context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_tensor_25_dims, (Qnn_TensorMemType_t)0, context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_tensor_25_clientBuf};
   Qnn_Tensor_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_tensor_25 = {(Qnn_TensorVersion_t)1, .v1 = context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_tensor_25_v1};
   VALIDATE(error, interface.tensorCreateGraphTensor(context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0, &context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_tensor_25));

   uint32_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_tensor_26_dims[] = {4};
   Qnn_QuantizeParams_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_tensor_26_quantizeParams = {(Qnn_Definition_t)2147483647, (Qnn_QuantizationEncoding_t)2147483647, .scaleOffsetEncoding = {0.0, 0}};
   static uint32_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_tensor_26_data[4];
   fread(context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_tensor_26_data, 4, 4, fp);
   Qnn_ClientBuffer_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_tensor_26_clientBuf = {(void*)context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_tensor_26_data, 16};
   Qnn_TensorV1_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_tensor_26_v1 = {0, "Transpose_token_35_61_perm", (Qnn_TensorType_t)4, 0, (Qnn_DataType_t)306, context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_tensor_26_quantizeParams, 1, context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_tensor_26_dims, (Qnn_TensorMemType_t)0, context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_tensor_26_clientBuf};
   Qnn_Tensor_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_tensor_26 = {(Qnn_TensorVersion_t)1, .v1 = context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_tensor_26_v1};
   VALIDATE(error, interface.tensorCreateGraphTensor(context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0, &context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_tensor_26));

   uint32_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_Transpose_token_35_0_param_0_tensor_dims[] = {4};
   Qnn_QuantizeParams_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_Transpose_token_35_0_param_0_tensor_quantizeParams = {(Qnn_Definition_t)2147483647, (Qnn_QuantizationEncoding_t)2147483647, .scaleOffsetEncoding = {0.0, 0}};
   static uint32_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_Transpose_token_35_0_param_0_tensor_data[4];
   fread(context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_Transpose_token_35_0_param_0_tensor_data, 4, 4, fp);
   Qnn_ClientBuffer_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_Transpose_token_35_0_param_0_tensor_clientBuf = {(void*)context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_Transpose_token_35_0_param_0_tensor_data, 16};
   Qnn_TensorV1_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_Transpose_token_35_0_param_0_tensor_v1 = {context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_tensor_26.v1.id, "Transpose_token_35_61_perm", (Qnn_TensorType_t)4, 0, (Qnn_DataType_t)306, context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_Transpose_token_35_0_param_0_tensor_quantizeParams, 1, context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_Transpose_token_35_0_param_0_tensor_dims, (Qnn_TensorMemType_t)0, context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_Transpose_token_35_0_param_0_tensor_clientBuf};
   Qnn_Tensor_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_Transpose_token_35_0_param_0_tensor = {(Qnn_TensorVersion_t)1, .v1 = context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_Transpose_token_35_0_param_0_tensor_v1};
   Qnn_Param_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_Transpose_token_35_0_param_0 = {(Qnn_ParamType_t)1, "perm", .tensorParam = context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_Transpose_token_35_0_param_0_tensor};

   Qnn_Param_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_Transpose_token_35_0_params[] = {context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_Transpose_token_35_0_param_0};
   uint32_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_Transpose_token_35_0_input_0_dims[] = {1, 1, 1, 6};
   Qnn_QuantizeParams_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_Transpose_token_35_0_input_0_quantizeParams = {(Qnn_Definition_t)1, (Qnn_QuantizationEncoding_t)0, .scaleOffsetEncoding = {0.0145251853, 0}};
   Qnn_ClientBuffer_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_Transpose_token_35_0_input_0_clientBuf = {NULL, 0};
   Qnn_TensorV1_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_Transpose_token_35_0_input_0_v1 = {context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_tensor_21.v1.id, "g.q", (Qnn_TensorType_t)3, 0, (Qnn_DataType_t)1032, context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_Transpose_token_35_0_input_0_quantizeParams, 4, context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_Transpose_token_35_0_input_0_dims, (Qnn_TensorMemType_t)0, context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_Transpose_token_35_0_input_0_clientBuf};
   Qnn_Tensor_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_Transpose_token_35_0_input_0 = {(Qnn_TensorVersion_t)1, .v1 = context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_Transpose_token_35_0_input_0_v1};

   Qnn_Tensor_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_Transpose_token_35_0_inputs[] = {context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_Transpose_token_35_0_input_0};
   uint32_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_Transpose_token_35_0_output_0_dims[] = {1, 6, 1, 1};
   Qnn_QuantizeParams_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_Transpose_token_35_0_output_0_quantizeParams = {(Qnn_Definition_t)1, (Qnn_QuantizationEncoding_t)0, .scaleOffsetEncoding = {0.0145251853, 0}};
   Qnn_ClientBuffer_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_Transpose_token_35_0_output_0_clientBuf = {NULL, 0};
   Qnn_TensorV1_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_Transpose_token_35_0_output_0_v1 = {context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_tensor_25.v1.id, "QuantizeLinear_token_38_out0", (Qnn_TensorType_t)3, 0, (Qnn_DataType_t)1032, context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_Transpose_token_35_0_output_0_quantizeParams, 4, context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_Transpose_token_35_0_output_0_dims, (Qnn_TensorMemType_t)0, context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_Transpose_token_35_0_output_0_clientBuf};
   Qnn_Tensor_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_Transpose_token_35_0_output_0 = {(Qnn_TensorVersion_t)1, .v1 = context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_Transpose_token_35_0_output_0_v1};

   Qnn_Tensor_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_Transpose_token_35_0_outputs[] = {context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_Transpose_token_35_0_output_0};
   Qnn_OpConfigV1_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_Transpose_token_35_0_v1 = {"Transpose_token_35", "qti.aisw", "Transpose", 1, context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_Transpose_token_35_0_params, 1, context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_Transpose_token_35_0_inputs, 1, context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_Transpose_token_35_0_outputs};
   Qnn_OpConfig_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_Transpose_token_35_0 = {(Qnn_OpConfigVersion_t)1, .v1 = context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_Transpose_token_35_0_v1};
   VALIDATE(error, interface.graphAddNode(context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0, context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_Transpose_token_35_0));

   uint32_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_tensor_27_dims[] = {1, 6};
   Qnn_QuantizeParams_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_tensor_27_quantizeParams = {(Qnn_Definition_t)1, (Qnn_QuantizationEncoding_t)0, .scaleOffsetEncoding = {0.0145251853, 0}};
   Qnn_ClientBuffer_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_tensor_27_clientBuf = {NULL, 0};
   Qnn_TensorV1_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_tensor_27_v1 = {0, "f.quantized", (Qnn_TensorType_t)3, 0, (Qnn_DataType_t)1032, context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_tensor_27_quantizeParams, 2, context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_tensor_27_dims, (Qnn_TensorMemType_t)0, context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_tensor_27_clientBuf};
   Qnn_Tensor_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_tensor_27 = {(Qnn_TensorVersion_t)1, .v1 = context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_tensor_27_v1};
   VALIDATE(error, interface.tensorCreateGraphTensor(context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0, &context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_tensor_27));

   Qnn_Param_t* context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_node_Reshape_0_0_params = NULL;
   uint32_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_node_Reshape_0_0_input_0_dims[] = {1, 6, 1, 1};
   Qnn_QuantizeParams_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_node_Reshape_0_0_input_0_quantizeParams = {(Qnn_Definition_t)1, (Qnn_QuantizationEncoding_t)0, .scaleOffsetEncoding = {0.0145251853, 0}};
   Qnn_ClientBuffer_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_node_Reshape_0_0_input_0_clientBuf = {NULL, 0};
   Qnn_TensorV1_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_node_Reshape_0_0_input_0_v1 = {context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_tensor_25.v1.id, "QuantizeLinear_token_38_out0", (Qnn_TensorType_t)3, 0, (Qnn_DataType_t)1032, context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_node_Reshape_0_0_input_0_quantizeParams, 4, context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_node_Reshape_0_0_input_0_dims, (Qnn_TensorMemType_t)0, context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_node_Reshape_0_0_input_0_clientBuf};
   Qnn_Tensor_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_node_Reshape_0_0_input_0 = {(Qnn_TensorVersion_t)1, .v1 = context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_node_Reshape_0_0_input_0_v1};

   Qnn_Tensor_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_node_Reshape_0_0_inputs[] = {context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_node_Reshape_0_0_input_0};
   uint32_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_node_Reshape_0_0_output_0_dims[] = {1, 6};
   Qnn_QuantizeParams_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_node_Reshape_0_0_output_0_quantizeParams = {(Qnn_Definition_t)1, (Qnn_QuantizationEncoding_t)0, .scaleOffsetEncoding = {0.0145251853, 0}};
   Qnn_ClientBuffer_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_node_Reshape_0_0_output_0_clientBuf = {NULL, 0};
   Qnn_TensorV1_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_node_Reshape_0_0_output_0_v1 = {context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_tensor_27.v1.id, "f.quantized", (Qnn_TensorType_t)3, 0, (Qnn_DataType_t)1032, context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_node_Reshape_0_0_output_0_quantizeParams, 2, context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_node_Reshape_0_0_output_0_dims, (Qnn_TensorMemType_t)0, context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_node_Reshape_0_0_output_0_clientBuf};
   Qnn_Tensor_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_node_Reshape_0_0_output_0 = {(Qnn_TensorVersion_t)1, .v1 = context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_node_Reshape_0_0_output_0_v1};

   Qnn_Tensor_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_node_Reshape_0_0_outputs[] = {context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_node_Reshape_0_0_output_0};
   Qnn_OpConfigV1_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_node_Reshape_0_0_v1 = {"node_Reshape_0", "qti.aisw", "Reshape", 0, context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_node_Reshape_0_0_params, 1, context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_node_Reshape_0_0_inputs, 1, context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_node_Reshape_0_0_outputs};
   Qnn_OpConfig_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_node_Reshape_0_0 = {(Qnn_OpConfigVersion_t)1, .v1 = context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_node_Reshape_0_0_v1};
   VALIDATE(error, interface.graphAddNode(context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0, context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_node_Reshape_0_0));

   uint32_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_tensor_28_dims[] = {4, 6};
   Qnn_ScaleOffset_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_tensor_28_quantizeParams_scaleOffsets[] = {{0.00557672977, 0}, {0.00526534347, 0}, {0.010849636, 0}, {0.00923546497, 0}};
   Qnn_AxisScaleOffset_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_tensor_28_quantizeParams_axisScaleOffset = {0, 4, context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_tensor_28_quantizeParams_scaleOffsets};
   Qnn_QuantizeParams_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_tensor_28_quantizeParams = {(Qnn_Definition_t)1, (Qnn_QuantizationEncoding_t)1, .axisScaleOffsetEncoding = context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_tensor_28_quantizeParams_axisScaleOffset};
   static int8_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_tensor_28_data[24];
   fread(context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_tensor_28_data, 1, 24, fp);
   Qnn_ClientBuffer_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_tensor_28_clientBuf = {(void*)context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_tensor_28_data, 24};
   Qnn_TensorV1_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_tensor_28_v1 = {0, "w3.integers", (Qnn_TensorType_t)4, 0, (Qnn_DataType_t)776, context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_tensor_28_quantizeParams, 2, context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_tensor_28_dims, (Qnn_TensorMemType_t)0, context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_tensor_28_clientBuf};
   Qnn_Tensor_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_tensor_28 = {(Qnn_TensorVersion_t)1, .v1 = context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_tensor_28_v1};
   VALIDATE(error, interface.tensorCreateGraphTensor(context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0, &context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_tensor_28));

   uint32_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_tensor_29_dims[] = {4};
   Qnn_ScaleOffset_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_tensor_29_quantizeParams_scaleOffsets[] = {{8.10030324e-05, 0}, {7.64800861e-05, 0}, {0.000157592978, 0}, {0.000134146845, 0}};
   Qnn_AxisScaleOffset_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_tensor_29_quantizeParams_axisScaleOffset = {0, 4, context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_tensor_29_quantizeParams_scaleOffsets};
   Qnn_QuantizeParams_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_tensor_29_quantizeParams = {(Qnn_Definition_t)1, (Qnn_QuantizationEncoding_t)1, .axisScaleOffsetEncoding = context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_tensor_29_quantizeParams_axisScaleOffset};
   static int32_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_tensor_29_data[4];
   fread(context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_tensor_29_data, 4, 4, fp);
   Qnn_ClientBuffer_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_tensor_29_clientBuf = {(void*)context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_tensor_29_data, 16};
   Qnn_TensorV1_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_tensor_29_v1 = {0, "logits.bias.integers", (Qnn_TensorType_t)4, 0, (Qnn_DataType_t)818, context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_tensor_29_quantizeParams, 1, context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_tensor_29_dims, (Qnn_TensorMemType_t)0, context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_tensor_29_clientBuf};
   Qnn_Tensor_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_tensor_29 = {(Qnn_TensorVersion_t)1, .v1 = context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_tensor_29_v1};
   VALIDATE(error, interface.tensorCreateGraphTensor(context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0, &context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_tensor_29));

   Qnn_Param_t* context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_node_8_0_params = NULL;
   uint32_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_node_8_0_input_0_dims[] = {1, 6};
   Qnn_QuantizeParams_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_node_8_0_input_0_quantizeParams = {(Qnn_Definition_t)1, (Qnn_QuantizationEncoding_t)0, .scaleOffsetEncoding = {0.0145251853, 0}};
   Qnn_ClientBuffer_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_node_8_0_input_0_clientBuf = {NULL, 0};
   Qnn_TensorV1_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_node_8_0_input_0_v1 = {context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_tensor_27.v1.id, "f.quantized", (Qnn_TensorType_t)3, 0, (Qnn_DataType_t)1032, context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_node_8_0_input_0_quantizeParams, 2, context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_node_8_0_input_0_dims, (Qnn_TensorMemType_t)0, context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_node_8_0_input_0_clientBuf};
   Qnn_Tensor_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_node_8_0_input_0 = {(Qnn_TensorVersion_t)1, .v1 = context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_node_8_0_input_0_v1};

   uint32_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_node_8_0_input_1_dims[] = {4, 6};
   Qnn_ScaleOffset_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_node_8_0_input_1_quantizeParams_scaleOffsets[] = {{0.00557672977, 0}, {0.00526534347, 0}, {0.010849636, 0}, {0.00923546497, 0}};
   Qnn_AxisScaleOffset_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_node_8_0_input_1_quantizeParams_axisScaleOffset = {0, 4, context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_node_8_0_input_1_quantizeParams_scaleOffsets};
   Qnn_QuantizeParams_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_node_8_0_input_1_quantizeParams = {(Qnn_Definition_t)1, (Qnn_QuantizationEncoding_t)1, .axisScaleOffsetEncoding = context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_node_8_0_input_1_quantizeParams_axisScaleOffset};
   static int8_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_node_8_0_input_1_data[24];
   fread(context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_node_8_0_input_1_data, 1, 24, fp);
   Qnn_ClientBuffer_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_node_8_0_input_1_clientBuf = {(void*)context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_node_8_0_input_1_data, 24};
   Qnn_TensorV1_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_node_8_0_input_1_v1 = {context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_tensor_28.v1.id, "w3.integers", (Qnn_TensorType_t)4, 0, (Qnn_DataType_t)776, context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_node_8_0_input_1_quantizeParams, 2, context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_node_8_0_input_1_dims, (Qnn_TensorMemType_t)0, context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_node_8_0_input_1_clientBuf};
   Qnn_Tensor_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_node_8_0_input_1 = {(Qnn_TensorVersion_t)1, .v1 = context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_node_8_0_input_1_v1};

   uint32_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_node_8_0_input_2_dims[] = {4};
   Qnn_ScaleOffset_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_node_8_0_input_2_quantizeParams_scaleOffsets[] = {{8.10030324e-05, 0}, {7.64800861e-05, 0}, {0.000157592978, 0}, {0.000134146845, 0}};
   Qnn_AxisScaleOffset_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_node_8_0_input_2_quantizeParams_axisScaleOffset = {0, 4, context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_node_8_0_input_2_quantizeParams_scaleOffsets};
   Qnn_QuantizeParams_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_node_8_0_input_2_quantizeParams = {(Qnn_Definition_t)1, (Qnn_QuantizationEncoding_t)1, .axisScaleOffsetEncoding = context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_node_8_0_input_2_quantizeParams_axisScaleOffset};
   static int32_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_node_8_0_input_2_data[4];
   fread(context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_node_8_0_input_2_data, 4, 4, fp);
   Qnn_ClientBuffer_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_node_8_0_input_2_clientBuf = {(void*)context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_node_8_0_input_2_data, 16};
   Qnn_TensorV1_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_node_8_0_input_2_v1 = {context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_tensor_29.v1.id, "logits.bias.integers", (Qnn_TensorType_t)4, 0, (Qnn_DataType_t)818, context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_node_8_0_input_2_quantizeParams, 1, context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_node_8_0_input_2_dims, (Qnn_TensorMemType_t)0, context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_node_8_0_input_2_clientBuf};
   Qnn_Tensor_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_node_8_0_input_2 = {(Qnn_TensorVersion_t)1, .v1 = context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_node_8_0_input_2_v1};

   Qnn_Tensor_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_node_8_0_inputs[] = {context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_node_8_0_input_0, context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_node_8_0_input_1, context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_node_8_0_input_2};
   uint32_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_node_8_0_output_0_dims[] = {1, 4};
   Qnn_QuantizeParams_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_node_8_0_output_0_quantizeParams = {(Qnn_Definition_t)2147483647, (Qnn_QuantizationEncoding_t)2147483647, .scaleOffsetEncoding = {0.0, 0}};
   Qnn_ClientBuffer_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_node_8_0_output_0_clientBuf = {NULL, 0};
   Qnn_TensorV1_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_node_8_0_output_0_v1 = {context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_tensor_1.v1.id, "logits", (Qnn_TensorType_t)1, 0, (Qnn_DataType_t)562, context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_node_8_0_output_0_quantizeParams, 2, context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_node_8_0_output_0_dims, (Qnn_TensorMemType_t)0, context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_node_8_0_output_0_clientBuf};
   Qnn_Tensor_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_node_8_0_output_0 = {(Qnn_TensorVersion_t)1, .v1 = context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_node_8_0_output_0_v1};

   Qnn_Tensor_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_node_8_0_outputs[] = {context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_node_8_0_output_0};
   Qnn_OpConfigV1_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_node_8_0_v1 = {"node_8", "qti.aisw", "FullyConnected", 0, context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_node_8_0_params, 3, context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_node_8_0_inputs, 1, context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_node_8_0_outputs};
   Qnn_OpConfig_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_node_8_0 = {(Qnn_OpConfigVersion_t)1, .v1 = context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_node_8_0_v1};
   VALIDATE(error, interface.graphAddNode(context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0, context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_node_8_0));

   VALIDATE(error, interface.graphFinalize(context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0, NULL, NULL));

   uint32_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_inputTensor_0_0_dims[] = {1, 3, 8, 8};
   Qnn_QuantizeParams_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_inputTensor_0_0_quantizeParams = {(Qnn_Definition_t)1, (Qnn_QuantizationEncoding_t)0, .scaleOffsetEncoding = {0.0282812547, -122}};
   static uint8_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_inputTensor_0_0_data[192];
   fread(context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_inputTensor_0_0_data, 1, 192, fp);
   Qnn_ClientBuffer_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_inputTensor_0_0_clientBuf = {(void*)context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_inputTensor_0_0_data, 192};
   Qnn_TensorV1_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_inputTensor_0_0_v1 = {context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_tensor_0.v1.id, "images", (Qnn_TensorType_t)0, 0, (Qnn_DataType_t)1032, context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_inputTensor_0_0_quantizeParams, 4, context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_inputTensor_0_0_dims, (Qnn_TensorMemType_t)0, context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_inputTensor_0_0_clientBuf};
   Qnn_Tensor_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_inputTensor_0_0 = {(Qnn_TensorVersion_t)1, .v1 = context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_inputTensor_0_0_v1};

   uint32_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_outputTensor_0_0_dims[] = {1, 4};
   Qnn_QuantizeParams_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_outputTensor_0_0_quantizeParams = {(Qnn_Definition_t)2147483647, (Qnn_QuantizationEncoding_t)2147483647, .scaleOffsetEncoding = {0.0, 0}};
   static float context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_outputTensor_0_0_data[4];
   fread(context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_outputTensor_0_0_data, 4, 4, fp);
   Qnn_ClientBuffer_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_outputTensor_0_0_clientBuf = {(void*)context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_outputTensor_0_0_data, 16};
   Qnn_TensorV1_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_outputTensor_0_0_v1 = {context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_tensor_1.v1.id, "logits", (Qnn_TensorType_t)1, 0, (Qnn_DataType_t)562, context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_outputTensor_0_0_quantizeParams, 2, context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_outputTensor_0_0_dims, (Qnn_TensorMemType_t)0, context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_outputTensor_0_0_clientBuf};
   Qnn_Tensor_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_outputTensor_0_0 = {(Qnn_TensorVersion_t)1, .v1 = context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_outputTensor_0_0_v1};

   Qnn_Tensor_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_inputTensors_0[] = {context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_inputTensor_0_0};
   Qnn_Tensor_t context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_outputTensors_0[] = {context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_outputTensor_0_0};
   VALIDATE(error, interface.graphExecute(context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0, context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_inputTensors_0, 1, context_0_QNNExecutionProvider_QNNExecutionProvider_286098448659889179_0_0_outputTensors_0, 1, NULL, NULL));

   VALIDATE(error, interface.contextFree(context_0, NULL));

   VALIDATE(error, interface.deviceFree(device_0));

   VALIDATE(error, interface.backendFree(backend_0));

   if (logging) {
     VALIDATE(error, interface.logFree(loghandle));
   }

   if (fclose(fp)) error = -1;
   return error == 0 || error == QNN_COMMON_ERROR_NOT_SUPPORTED ? 0 : error;
}
